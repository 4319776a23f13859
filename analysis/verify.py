"""Verify archives: that all their numbers hold, and that the README has them.

    python -m analysis.verify [ARCHIVE...] [--root DIR]

ARCHIVE is the name of one in analysis/archive, or a folder with measurements.csv; without any, all in analysis/archive
are meant. Reading a table checks that times, intervals, TFLOPS and bytes follow from the samples and the sizes, that
rows, samples and provenance belong together, and that every file is the one in the manifest. An archive in
analysis/archive must have a manifest; the generated parts of the README and of docs/ are compared with the one that
they show. Prints a line for each archive; exits with 1 if one does not hold.
"""

import argparse
import sys
from pathlib import Path

from analysis import readme
from analysis.numbers.networks import networks
from analysis.table.archive import read
from analysis.table.cli import ARCHIVES, find, run
from analysis.table.companions import read_accuracy, read_models, read_transforms
from analysis.table.errors import ArchiveError
from analysis.table.manifest import UPDATE, check_manifest
from analysis.table.schema import MANIFEST

ROOT = Path(__file__).resolve().parents[1]


def verify(folder: Path, root: Path) -> str:
    """Verify an archive or another results table; what was found to hold. Raises ArchiveError."""
    archive = read(folder)
    read_accuracy(folder)
    read_transforms(folder)
    read_models(folder)
    networks(archive)
    points, samples = len(archive.provenance["points"]), len(archive.taken.times)
    said = f"{points} points, {len(archive.measurements)} rows and {samples} samples hold"
    files = check_manifest(folder)
    kept = folder.resolve().parent == ARCHIVES
    if files is None and kept:
        raise ArchiveError(folder / MANIFEST, "the file is missing", f"{UPDATE} {folder.name}")
    said += "; no manifest" if files is None else f"; {files} files as in {MANIFEST}"
    if kept and readme.shown_archive((root / "README.md").read_text(encoding="utf-8")) == folder.name:
        readme.check_pages(archive, root)
        said += f"; generated parts of {', '.join(page.name for page in readme.PAGES)} as it gives them"
    return said


def main() -> None:
    """Verify archives, all or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m analysis.verify", description="Verify archives.")
    parser.add_argument("archives", nargs="*", metavar="ARCHIVE", help="a name in analysis/archive, or a folder")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder of the README")
    options = parser.parse_args()
    names = options.archives or sorted(path.name for path in ARCHIVES.iterdir() if path.is_dir())
    failed = False
    for name in names:
        try:
            print(f"{name}: {verify(find(name), options.root)}", flush=True)
        except (ArchiveError, OSError) as error:
            print(f"{name}: DOES NOT HOLD: {' '.join(str(error).split())}", flush=True)
            failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    run(main)

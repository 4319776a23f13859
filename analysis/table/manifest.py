"""The manifest of an archive: the size and SHA-256 of each of its files. Imports no pandas."""

import hashlib
import json
from pathlib import Path

from analysis.table.errors import ArchiveError
from analysis.table.files import write_atomically
from analysis.table.schema import MANIFEST

UPDATE = (
    "restore the archive (git checkout) or, if this is meant, write its manifest anew: "
    "python -m workflow.archive --manifest"
)


def describe(folder: Path) -> dict[str, tuple[int, str]]:
    """Give the size and SHA-256 of every file of a folder but the manifest, by its path in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in files
    }


def write_manifest(folder: Path) -> None:
    """Write the manifest of an archive."""
    files = {name: {"bytes": size, "sha256": digest} for name, (size, digest) in describe(folder).items()}
    write_atomically(folder / MANIFEST, json.dumps({"files": files}, indent=1, sort_keys=True) + "\n")


def check_manifest(folder: Path) -> int | None:
    """Check a folder against its manifest; how many files that lists, or None where there is none.

    Raises ArchiveError, which names the first file that is missing, is not listed or differs.
    """
    path, way_out = folder / MANIFEST, f"{UPDATE} {folder}"
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["files"]
        told = {name: (int(one["bytes"]), str(one["sha256"])) for name, one in listed.items()}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArchiveError(path, f"cut short or no manifest ({error})", way_out) from None
    there = describe(folder)
    for name in sorted({*told, *there}):
        if name not in there:
            raise ArchiveError(folder / name, f"the file is missing, but {MANIFEST} lists it", way_out)
        if name not in told:
            raise ArchiveError(folder / name, f"{MANIFEST} does not list the file", way_out)
        (size, found), (listed_size, wanted) = there[name], told[name]
        if size != listed_size:
            raise ArchiveError(folder / name, f"{size} bytes, but {MANIFEST} says {listed_size}", way_out)
        if found != wanted:
            said = f"its SHA-256 is {found[:12]}..., but {MANIFEST} says {wanted[:12]}..."
            raise ArchiveError(folder / name, said, way_out)
    return len(told)

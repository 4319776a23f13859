"""Copies a results table to analysis/archive/DEVICE, once it has been checked, or writes manifests of archives.

    python -m workflow.archive --folder results/DEVICE
    python -m workflow.archive --manifest ARCHIVE...

What a table holds of the paths of the machine is left out of the copy: logs are named relative to the device's folder
of results, anything else with an absolute path by its last part. The manifest has the size and SHA-256 of every file.
With --manifest the files of the archives (names in analysis/archive, or folders) stay as they are: each table is
checked, and its manifest written anew.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.table import archive as table
from analysis.table.companions import COMPANIONS
from analysis.table.files import write_atomically
from analysis.table.manifest import write_manifest
from analysis.table.schema import MANIFEST, PROVENANCE, SAMPLES, TABLE_FILES
from workflow.experiment.archives import ARCHIVES

#: The folders of an absolute path in a text, but not of an address or a unit (https://host/page, bytes/s).
ABSOLUTE = re.compile(r"(?<![\w.:/~])~?/(?:[^\s/\"'`,;:()<>]+/)+")


def without_paths(value: Any) -> Any:
    """A text, or all texts of a JSON document, in which every absolute path is only its last part."""
    if isinstance(value, dict):
        return {key: without_paths(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_paths(each) for each in value]
    return ABSOLUTE.sub("", value) if isinstance(value, str) else value


def content(path: Path) -> bytes:
    """A file of a results table as an archive has it."""
    if path.name == SAMPLES:
        return path.read_bytes()
    if path.name != PROVENANCE:
        return str(without_paths(path.read_text())).encode()
    provenance = json.loads(path.read_text())
    for point in provenance["points"]:
        if log := (point.get("run") or {}).get("log"):  # earlier runs have another folder before it
            point["run"]["log"] = re.sub(r"^.*?(?<![^/])(?=points/)", "", log)
    return (json.dumps(without_paths(provenance), indent=1, sort_keys=True) + "\n").encode()


def archive(folder: Path, archives: Path) -> str:
    """Copy a results table; one line on it. Raises ArchiveError where it does not hold."""
    found = table.read(folder)
    target = archives / str(found.provenance["device"]["slug"])
    for name in (*TABLE_FILES, *COMPANIONS):
        if (folder / name).exists():
            write_atomically(target / name, content(folder / name))
    write_manifest(target)  # last: a copy that is interrupted does not agree with the manifest that was there
    table.read(target)
    return f"{found.device_name}: {len(found.measurements)} rows copied to {os.path.relpath(target)}"


def manifest(named: str, archives: Path) -> str:
    """Write the manifest of an archive whose table holds; one line on it. Raises ArchiveError where it does not."""
    folder = archives / named if (archives / named).is_dir() else Path(named)
    table.read(folder, manifest=False)
    write_manifest(folder)
    return f"{os.path.relpath(folder / MANIFEST)}: written"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.archive", description="Archive a results table.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--folder", type=Path, help="the device's folder of results")
    what.add_argument("--manifest", nargs="+", metavar="ARCHIVE", help="write the manifests of these archives anew")
    parser.add_argument("--archives", type=Path, default=ARCHIVES, help="where the archives are")
    options = parser.parse_args(arguments)
    try:
        if options.folder:
            print(archive(options.folder, options.archives))
        for name in options.manifest or ():
            print(manifest(name, options.archives))
    except (table.ArchiveError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

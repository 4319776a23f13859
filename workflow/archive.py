"""Adds a results table to analysis/archive/DEVICE, once it has been checked, or writes manifests of archives.

    python -m workflow.archive --folder results/DEVICE
    python -m workflow.archive --manifest ARCHIVE...

An archive has the last measurement of every experiment: what it holds of the table's experiment is replaced, and what
it holds of others stays.

What a table holds of the paths of the machine is left out of the copy: logs are named relative to the device's folder
of results, anything else with an absolute path by its last part. The manifest has the size and SHA-256 of every file.
With --manifest the files of the archives (names in analysis/archive, or folders) stay as they are: each table is
checked, and its manifest written anew.
"""

from __future__ import annotations

import argparse
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
from analysis.table.merge import experiments, merge, merge_companion
from analysis.table.schema import MANIFEST, MEASUREMENTS
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


def archive(folder: Path, archives: Path) -> str:
    """Copy a results table; one line on it. Raises ArchiveError where it, or the archive that is there, does not hold.

    What the archive has of other experiments stays.
    """
    new = table.read(folder)
    target = archives / str(new.provenance["device"]["slug"])
    old = table.read(target) if (target / MEASUREMENTS).exists() else None
    rows, samples, provenance = merge(new, old)
    suites = {str(row["suite"]) for row in rows}
    beside = {name: merge_companion(name, columns, folder, target, suites) for name, columns in COMPANIONS.items()}
    for name, text in beside.items():  # before the table, which has no rows only beside whole networks
        if text:
            write_atomically(target / name, without_paths(text))
    table.write(target, without_paths(rows), samples, _without_paths_of_machine(provenance))
    write_manifest(target)  # last: a copy that is interrupted does not agree with the manifest that was there
    table.read(target)
    others = [name for name in experiments(old) if name not in experiments(new)] if old else []
    kept = f", beside what is there of {', '.join(others)}" if others else ""
    models = len(new.provenance.get("models", ()))
    also = f" and {models} of whole networks" if models else ""
    return f"{new.device_name}: {len(new.measurements)} rows{also} copied to {os.path.relpath(target)}{kept}"


def _without_paths_of_machine(provenance: dict[str, Any]) -> Any:
    points = []
    for point in provenance["points"]:
        run = point.get("run") or {}
        if log := run.get("log"):  # earlier runs have another folder before it
            point = point | {"run": run | {"log": re.sub(r"^.*?(?<![^/])(?=points/)", "", log)}}
        points.append(point)
    return without_paths(provenance | {"points": points})


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

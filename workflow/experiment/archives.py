"""The archives that a request names: those in analysis/archive/, and folders elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from workflow.experiment.catalog import ROOT
from workflow.experiment.errors import BadArchiveError, unknown

ARCHIVES = ROOT / "analysis" / "archive"
#: The folder below `results/archive/` that compares archives; no archive can have this name.
COMPARISON = "comparison"
#: What the name of a folder cannot hold that rules and command lines name.
_UNUSABLE = frozenset("{}=")


def find_archives(wanted: Sequence[str], archives: Path = ARCHIVES, with_samples: bool = False) -> dict[str, str]:
    """Archives by name, read and checked: names in `archives`, folders elsewhere, or `all`. Raises BadArchiveError."""
    there = sorted(path.name for path in archives.glob("*") if path.is_dir())
    found: dict[str, Path] = {}
    for name in wanted:
        if name == "all":
            found |= {each: archives / each for each in there}
        elif name in there:
            found[name] = archives / name
        elif Path(name).is_dir():
            _add_folder(found, Path(name))
        else:
            names = unknown("archive", name, ["all", *there])
            raise BadArchiveError(f"{names}\nor the path of a folder with measurements.csv")
    if "all" in wanted and not there and with_samples:
        raise BadArchiveError(f"archive=all finds no archive in {os.path.relpath(archives)}")
    for name, path in found.items():
        if not _UNUSABLE.isdisjoint(name):
            raise BadArchiveError(f"archive {name!r}: the name of its folder must not hold {{ }} or =; rename it")
        _check_archive(path, with_samples)
    return {name: os.path.relpath(path) for name, path in found.items()}


def _add_folder(found: dict[str, Path], folder: Path) -> None:
    name = folder.resolve().name
    if name == COMPARISON:
        raise BadArchiveError(f"{folder} has the name of the folder that compares archives; rename it")
    if name in found and found[name].resolve() != folder.resolve():
        raise BadArchiveError(f"{found[name]} and {folder} would be drawn into one folder, {name}; rename one of them")
    found[name] = folder


def _check_archive(path: Path, with_samples: bool) -> None:
    from analysis.table import archive as table  # imports pandas, which a run without archives need not wait for

    try:
        archive = table.read(Path(os.path.relpath(path)))
        if with_samples:
            archive.samples()
    except table.ArchiveError as error:
        raise BadArchiveError(str(error)) from None

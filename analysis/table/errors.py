"""The exception for a file of this package that is missing or damaged. Imports no pandas."""

from pathlib import Path

RESTORE = "restore it (git checkout, for an archive) or delete it and run snakemake, which aggregates again"


class ArchiveError(Exception):
    """A results folder that is missing, damaged or not what its format says."""

    def __init__(self, path: Path | str, wrong: str, way_out: str = RESTORE) -> None:
        """Name the file, what is wrong with it and what to do about it."""
        super().__init__(f"{path}: {wrong}; {way_out}")

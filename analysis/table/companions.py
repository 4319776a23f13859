"""Reads the tables that lie beside a results table."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.table.archive import RESTORE, ArchiveError

#: The transforms' own times (workflow.transforms).
TRANSFORMS = "transform.csv"
TRANSFORM_COLUMNS = (
    *("suite", "batch", "layer", "algorithm", "window_bytes", "moved_bytes", "status", "reason"),
    *("time_ms", "time_ms_low", "time_ms_high", "samples", "stop_reason", "source_hash"),
)


def read_beside(folder: Path, name: str, columns: Sequence[str]) -> pd.DataFrame:
    """Read a results folder's table `name`; without rows where there is none. Raises ArchiveError."""
    path = folder / name
    try:
        found = pd.read_csv(path, float_precision="round_trip")
    except FileNotFoundError:
        return pd.DataFrame(columns=list(columns))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ArchiveError(path, f"not CSV ({error})", RESTORE) from None
    if tuple(found.columns) != tuple(columns):
        raise ArchiveError(path, f"columns must be {', '.join(columns)}", RESTORE)
    return found


def read_transforms(folder: Path) -> pd.DataFrame:
    """Read a results folder's transform.csv, the rows that are ok. Raises ArchiveError."""
    found = read_beside(folder, TRANSFORMS, TRANSFORM_COLUMNS)
    return found[found["status"] == "ok"].astype({"time_ms": float, "moved_bytes": float})

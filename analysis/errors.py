"""The errors in a folder's accuracy.csv: of FP32-accurate algorithms and strict FP32, on the same kinds of data."""

from pathlib import Path

import pandas as pd

from analysis.table import RESTORE, ArchiveError

ERRORS = "accuracy.csv"
COLUMNS = (
    *("suite", "batch", "layer", "reduction", "distribution", "algorithm", "numerics", "status", "reason"),
    *("error_fro", "error_max", "error_componentwise", "error_mean", "source_hash"),
)


def read_errors(folder: Path) -> pd.DataFrame:
    """Read a results folder's accuracy.csv; without rows where there is none. Raises ArchiveError."""
    path = folder / ERRORS
    try:
        found = pd.read_csv(path, float_precision="round_trip")
    except FileNotFoundError:
        return pd.DataFrame(columns=list(COLUMNS))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ArchiveError(path, f"not CSV ({error})", RESTORE) from None
    if tuple(found.columns) != COLUMNS:
        raise ArchiveError(path, f"columns must be {', '.join(COLUMNS)}", RESTORE)
    return found

"""The tables beside a results table: errors on kinds of data, the transforms' own times, networks, and whole models.

Imports pandas only to read one, so that the names of the files cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.table.errors import RESTORE, ArchiveError
from analysis.table.schema import STATUSES, wrong_columns

if TYPE_CHECKING:
    import pandas as pd

#: Errors of FP32-accurate algorithms and of strict FP32 on the same kinds of data (workflow.accuracy).
ACCURACY = "accuracy.csv"
#: The transforms' own times (workflow.transforms).
TRANSFORMS = "transform.csv"
#: The layers of the suites that are networks, with how often each of them runs.
NETWORKS = "networks.csv"
#: Whole networks, timed with several backends (workflow.models).
MODELS = "models.csv"

ACCURACY_COLUMNS = (
    *("suite", "batch", "layer", "reduction", "distribution", "algorithm", "numerics", "status", "reason"),
    *("error_fro", "error_max", "error_componentwise", "error_mean", "source_hash"),
)
TRANSFORM_COLUMNS = (
    *("suite", "batch", "layer", "algorithm", "window_bytes", "moved_bytes", "status", "reason"),
    *("time_ms", "time_ms_low", "time_ms_high", "samples", "stop_reason", "source_hash"),
)
#: A row is a layer of a network: how often one forward pass runs it, the FLOPs of one image and one run, why it is not
#: measured (empty if it is), and where the network came from.
NETWORK_COLUMNS = ("suite", "layer", "count", "flops", "unsupported", "source")
#: A row is the forward passes of a network at a batch, with a backend, in a mode (workflow.networks.timed).
MODEL_KEY = ("model", "batch", "backend", "mode")
MODEL_COLUMNS = (
    *MODEL_KEY,
    *("status", "reason", "time_ms", "time_ms_low", "time_ms_high", "samples", "stop_reason"),
    *("peak_bytes", "error_fro", "source_hash"),
)
#: The tables, with their columns.
COMPANIONS = {
    ACCURACY: ACCURACY_COLUMNS,
    TRANSFORMS: TRANSFORM_COLUMNS,
    NETWORKS: NETWORK_COLUMNS,
    MODELS: MODEL_COLUMNS,
}


def key_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of MODEL_KEY of a row."""
    return tuple(row[column] for column in MODEL_KEY)


def read_beside(folder: Path, name: str, columns: Sequence[str], texts: Sequence[str] = ()) -> pd.DataFrame:
    """Read a results folder's table `name`; without rows where there is none. Raises ArchiveError.

    What the columns in `texts` hold stays text, even if it looks like a number.
    """
    import pandas as pd

    path = folder / name
    try:
        found = pd.read_csv(path, float_precision="round_trip", dtype=dict.fromkeys(texts, str))
    except FileNotFoundError:
        return pd.DataFrame(columns=list(columns))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ArchiveError(path, f"not CSV ({error})", RESTORE) from None
    if wrong := wrong_columns(found.columns, columns):
        raise ArchiveError(path, f"columns must be {', '.join(columns)}, but {wrong}", RESTORE)
    return found


def read_accuracy(folder: Path) -> pd.DataFrame:
    """Read a results folder's accuracy.csv; without rows where there is none. Raises ArchiveError."""
    return read_beside(folder, ACCURACY, ACCURACY_COLUMNS)


def read_transforms(folder: Path) -> pd.DataFrame:
    """Read a results folder's transform.csv, the rows that are ok. Raises ArchiveError."""
    found = read_beside(folder, TRANSFORMS, TRANSFORM_COLUMNS)
    return found[found["status"] == "ok"].astype({"time_ms": float, "moved_bytes": float})


def read_networks(folder: Path) -> pd.DataFrame:
    """Read a results folder's networks.csv; without rows where there is none. Raises ArchiveError."""
    import pandas as pd

    path, texts = folder / NETWORKS, ("suite", "layer", "unsupported", "source")
    found = read_beside(folder, NETWORKS, NETWORK_COLUMNS, texts)
    found = found.fillna(dict.fromkeys(texts, ""))
    # The FLOPs of a layer that is not supported may depend on the data.
    least = {"count": 1, "flops": (found["unsupported"] == "").astype(int)}
    for column, lowest in least.items():
        numbers = pd.to_numeric(found[column], errors="coerce")
        wrong = found[~((numbers >= lowest) & (numbers % 1 == 0))]
        if len(wrong):
            row = wrong.iloc[0]
            said = f"{row['suite']}/{row['layer']}: {column} is {row[column]}, but must be a whole number above 0"
            raise ArchiveError(path, said, RESTORE)
    twice = found[found.duplicated(["suite", "layer"])]
    if len(twice):
        raise ArchiveError(path, f"{twice['suite'].iloc[0]}/{twice['layer'].iloc[0]}: there twice", RESTORE)
    return found.astype({"count": "int64", "flops": "int64"})


def read_models(folder: Path) -> pd.DataFrame:
    """Read a results folder's models.csv; without rows where there is none. Raises ArchiveError."""
    import pandas as pd

    path, texts = folder / MODELS, ("model", "backend", "mode", "status", "reason", "stop_reason", "source_hash")
    found = read_beside(folder, MODELS, MODEL_COLUMNS, texts)
    found = found.fillna(dict.fromkeys(texts, ""))
    numbers = [column for column in MODEL_COLUMNS if column not in texts]
    for column in numbers:
        parsed = pd.to_numeric(found[column], errors="coerce")
        if len(wrong := found[parsed.isna() & found[column].notna()]):
            raise ArchiveError(
                path, f"{_name(wrong)}: {column} is {wrong[column].iloc[0]}, which is no number", RESTORE
            )
        found[column] = parsed.astype(float)
    low, middle, high = (found[column] for column in ("time_ms_low", "time_ms", "time_ms_high"))
    timed = (low > 0) & (low <= middle) & (middle <= high) & (found["error_fro"] >= 0)
    ok = found["status"] == "ok"
    checks = {
        "its status is unknown": ~found["status"].isin(STATUSES),
        "its batch is no whole number above 0": ~((found["batch"] >= 1) & (found["batch"] % 1 == 0)),
        "it is ok, but its time is not within its interval, or it has no error": ok & ~timed,
        "it is not ok, but has a time": ~ok & middle.notna(),
        "there twice": found.duplicated(list(MODEL_KEY)),
    }
    for said, rows in checks.items():
        if rows.any():
            raise ArchiveError(path, f"{_name(found[rows])}: {said}", RESTORE)
    return found.astype({"batch": "int64"})


def _name(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    return f"{first['model']}/{str(first['batch']).removesuffix('.0')}/{first['backend']}/{first['mode']}"

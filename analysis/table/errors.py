"""The errors in a folder's accuracy.csv: of FP32-accurate algorithms and strict FP32, on the same kinds of data."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.numbers.staleness import against_today
from analysis.table.archive import ArchiveError
from analysis.table.companions import read_beside

ERRORS = "accuracy.csv"
COLUMNS = (
    *("suite", "batch", "layer", "reduction", "distribution", "algorithm", "numerics", "status", "reason"),
    *("error_fro", "error_max", "error_componentwise", "error_mean", "source_hash"),
)


def read_errors(folder: Path) -> pd.DataFrame:
    """Read a results folder's accuracy.csv; without rows where there is none. Raises ArchiveError."""
    return read_beside(folder, ERRORS, COLUMNS)


def trace(folder: Path, layer: str, algorithm: str, data: str, today: Mapping[str, Any] | None) -> Iterator[str]:
    """The lines that say where an error on a kind of `data` comes from; `today` holds today's hashes.

    Raises ArchiveError, listing what is there, if there is no such row.
    """
    rows = read_errors(folder)
    for column, value in (("layer", layer), ("algorithm", algorithm), ("distribution", data)):
        there = list(dict.fromkeys(rows[column]))
        if value not in there:
            raise ArchiveError(folder / ERRORS, f"has no {column} {value}", f"it has: {', '.join(there) or 'no rows'}")
        rows = rows[rows[column] == value]
    for _, row in rows.iterrows():
        yield f"row        {layer}, {algorithm}, {data} in {row['suite']}, batch {row['batch']}, {row['numerics']}"
        yield f"           of {folder / ERRORS}"
        yield f"outcome    {row['status']}" + (f": {row['reason']}" if row["status"] != "ok" else "")
        if row["status"] == "ok":
            yield f"errors     {row['error_fro']:.3g} in norm, {row['error_max']:.3g} at the worst element"
            componentwise, mean = row["error_componentwise"], row["error_mean"]
            yield f"           {componentwise:.3g} of an output's terms, {mean:.3g} on average"
        source = row["source_hash"]
        yield f"sources    {source} (the algorithm's), {against_today(source, today, algorithm)}"
    yield "inputs     the same for everybody: workflow/harness/distributions.py makes them of a fixed seed"
    yield "again      snakemake accuracy"

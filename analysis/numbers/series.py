"""The derived quantities that figures, tables and claims share: the best cuDNN, ratios, memory, selections.

A frame of `rows` here is always the rows of one Selection, so that protocols, suites, batches and numeric classes are
never mixed in one comparison.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.numbers import published
from analysis.numbers.algorithms import ACCURATE, BEST_CUDNN, STRICT, about, in_paper, is_cudnn, paper
from analysis.table.archive import Archive
from analysis.table.order import natural_key

PROTOCOLS = ("end_to_end", "kernel_only", "authors")
NOT_MEASURED = "not measured"
MIB = 2**20
#: A layer decides a mean if without it the mean is less than this share of what it is with it.
DECIDES = 0.6


@dataclass(frozen=True)
class Selection:
    """What is compared with each other: rows measured in the same way on the same layers."""

    experiment: str
    suite: str
    batch: int
    protocol: str
    numerics: str

    def __str__(self) -> str:
        """Name it for people, e.g. suite paper_table, batch 64, end_to_end, strict_fp32."""
        return f"suite {self.suite}, batch {self.batch}, {self.protocol}, {self.numerics}"


@dataclass(frozen=True)
class MemoryMetric:
    """A measure of memory: the peak of the whole process, as in the paper, or the bytes that were counted."""

    column: str
    label: str


PROCESS_PEAK = MemoryMetric("process_peak_bytes", "peak memory of the process")
COUNTED = MemoryMetric("counted_bytes", "tensors + workspace, counted (no process peak was recorded)")


def layer_order(names: Iterable[str]) -> list[str]:
    """Order layers naturally: conv2 before conv10."""
    return sorted(set(names), key=natural_key)


def selections(measurements: pd.DataFrame, protocols: tuple[str, ...] = PROTOCOLS) -> list[Selection]:
    """List the selections of a table, the headline first.

    The headline is experiment `paper`, suite `paper_table`, batch 64, the first of `protocols` and strict FP32, as far
    as the table has them. The others follow in the same order of preference, then by name.
    """
    columns = ["experiment", "suite", "batch", "protocol", "numerics"]
    found = [Selection(e, s, int(b), p, n) for e, s, b, p, n in measurements[columns].drop_duplicates().to_numpy()]

    def rank(one: Selection) -> tuple[object, ...]:
        protocol = protocols.index(one.protocol) if one.protocol in protocols else len(protocols)
        preferred = (one.experiment != "paper", one.experiment, one.suite != "paper_table", one.suite)
        return (*preferred, one.batch != 64, one.batch, protocol, one.protocol, one.numerics != STRICT, one.numerics)

    return sorted(found, key=rank)


def pick(
    measurements: pd.DataFrame, protocols: tuple[str, ...] = PROTOCOLS, having: Iterable[str] = ()
) -> Selection | None:
    """Choose the first selection that has a row of any algorithm in `having`; without `having`, the headline."""
    wanted = set(having)
    for selection in selections(measurements, protocols):
        if not wanted or wanted & set(rows_of(measurements, selection)["algorithm"]):
            return selection
    return None


def rows_of(measurements: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """Take the rows of one selection, and add a column with the counted bytes."""
    rows = measurements
    # The batch first: comparing numbers is faster than comparing texts, and leaves fewer rows.
    for column in ("batch", "experiment", "suite", "protocol", "numerics"):
        rows = rows[rows[column] == getattr(selection, column)]
    rows = rows.copy()
    rows[COUNTED.column] = rows["tensor_bytes"] + rows["workspace_bytes"]
    rows["chosen"] = rows["algorithm"]
    return rows


def accurate_rows(measurements: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """Take the rows of our FP32-accurate convolutions on tensor cores that were measured as a selection was.

    They are of the class fp32_accurate, whatever the selection's class is.
    """
    rows = rows_of(measurements, replace(selection, numerics=ACCURATE))
    return rows[rows["algorithm"].map(lambda name: about(name).is_accurate_only).astype(bool)]


def with_accurate(archive: Archive, selection: Selection, rows: pd.DataFrame) -> pd.DataFrame:
    """Add the rows of `accurate_rows` to those of a selection; labels and captions say that their class is another."""
    return pd.concat([rows, accurate_rows(archive.measurements, selection)], ignore_index=True)


def headline(archive: Archive) -> tuple[Selection, pd.DataFrame]:
    """Choose the selection that figures and sentences show first, and take its rows with the best cuDNN."""
    selection = pick(archive.measurements)
    assert selection is not None, "a table that was read has rows"
    return selection, with_best_cudnn(rows_of(archive.measurements, selection))


def with_best_cudnn(rows: pd.DataFrame) -> pd.DataFrame:
    """Add one row per layer for `cudnn_best`: a copy of the fastest ok cuDNN row, named in the column `chosen`.

    Of equal times the first in order is taken, so a named algorithm rather than the autotuner. Where no cuDNN row of a
    layer is ok, the added row has the status that they share (`failed` where they differ) and all their reasons.
    Raises ValueError where the rows are of more than one numeric class: one best is never taken over several.
    """
    if rows["numerics"].nunique() > 1:
        raise ValueError(f"one best over several numeric classes: {', '.join(sorted(rows['numerics'].unique()))}")
    cudnn = rows[rows["algorithm"].map(is_cudnn).astype(bool)]
    if cudnn.empty:
        return rows
    ranked = cudnn.assign(order=cudnn["algorithm"].map(lambda name: about(name).order))[cudnn["status"] == "ok"]
    ranked = ranked.sort_values(["time_ms", "order", "algorithm"]).drop(columns="order")
    best = ranked.drop_duplicates("layer")
    layers = list(dict.fromkeys(cudnn["layer"]))
    without = [_no_best(cudnn[cudnn["layer"] == layer]) for layer in layers if layer not in set(best["layer"])]
    dtypes = rows.dtypes.to_dict()
    added = pd.concat([part.astype(dtypes) for part in (best, pd.DataFrame(without)) if len(part)])
    added = added.assign(algorithm=BEST_CUDNN).set_index("layer", drop=False).loc[layers]
    return pd.concat([rows, added], ignore_index=True)


def _no_best(rows: pd.DataFrame) -> pd.Series:
    """Make the row of a layer without a best cuDNN, as no cuDNN row of it is ok."""
    row = rows.iloc[0].copy()
    states = set(rows["status"])
    reasons = [f"{name}: {why}" for name, why in zip(rows["algorithm"], rows["reason"], strict=True)]
    row["status"] = states.pop() if len(states) == 1 else "failed"
    row["reason"] = "no cuDNN algorithm ran: " + "; ".join(reasons)
    row["chosen"] = ""
    return row


def memory_metric(rows: pd.DataFrame) -> MemoryMetric:
    """Choose the paper's metric for all rows if any ok row has it: process peaks and counted bytes do not compare."""
    peaks = rows.loc[rows["status"] == "ok", PROCESS_PEAK.column]
    return PROCESS_PEAK if peaks.notna().any() else COUNTED


def memory_baselines(kind: str) -> tuple[str, ...]:
    """List what the memory of the paper's convolution is compared with.

    On a GPU the baselines of the claims on memory; on a CPU, which has none of them, the baselines of the figures.
    """
    if kind == "cuda":
        return published.memory_baselines()
    return tuple(name for name in in_paper(kind) if name != paper(kind))


def constant_memory(archive: Archive, rows: pd.DataFrame) -> str:
    """Say how much of a process's peak is its CUDA context, which no algorithm can do without.

    Empty if it was not measured or the rows have no process peak.
    """
    constant = (archive.provenance.get("ceilings") or {}).get("context_bytes")
    if not constant or memory_metric(rows) != PROCESS_PEAK:
        return ""
    return f"{constant / MIB:.0f} MiB of each is constant, the CUDA context"


def values(rows: pd.DataFrame, algorithm: str, column: str) -> pd.Series:
    """Take the numbers of one algorithm by layer, in natural order; only ok rows that have a number."""
    ok = (rows["algorithm"].to_numpy() == algorithm) & (rows["status"].to_numpy() == "ok")
    layers = pd.Index(rows["layer"].to_numpy()[ok], name="layer")
    numbers = pd.Series(rows[column].to_numpy()[ok], layers, name=column).dropna()
    return numbers.reindex(layer_order(numbers.index))


def ratio(rows: pd.DataFrame, algorithm: str, baseline: str, column: str) -> pd.Series:
    """Divide an algorithm's numbers by a baseline's, over the layers where both are ok."""
    return divide(values(rows, algorithm, column), values(rows, baseline, column))


def divide(ours: pd.Series, theirs: pd.Series) -> pd.Series:
    """Divide layer by layer, over the layers that both have, in natural order."""
    common = layer_order(set(ours.index) & set(theirs.index))
    return ours.reindex(common) / theirs.reindex(common)


def geometric_mean(ratios: pd.Series) -> float:
    """Average ratios so that a ratio and its inverse cancel; NaN of none."""
    return float(np.exp(np.log(ratios).mean())) if len(ratios) else float("nan")


def decisive_layer(shares: pd.Series) -> str:
    """Name the layer without which the mean of some shares is far smaller; empty if there is none."""
    if len(shares) < 3 or not shares.mean():
        return ""
    without = pd.Series({layer: shares.drop(layer).mean() / shares.mean() for layer in shares.index})
    return str(without.idxmin()) if without.min() < DECIDES else ""


def speed_unit(kind: str) -> tuple[str, float]:
    """Choose the unit of speed for a kind of device, and the factor from TFLOPS: a CPU's speed is given in GFLOPS."""
    return ("GFLOPS", 1000.0) if kind == "cpu" else ("TFLOPS", 1.0)


def state_of(rows: pd.DataFrame, layer: str, algorithm: str, column: str) -> tuple[float, str, str]:
    """Give a cell's number (NaN where there is none), its status and its reason."""
    row = rows[(rows["layer"] == layer) & (rows["algorithm"] == algorithm)]
    if row.empty:
        return float("nan"), NOT_MEASURED, f"there is no row for {algorithm} on {layer}"
    return state(row.iloc[0], column)


def state(row: Mapping[Hashable, Any] | pd.Series, column: str) -> tuple[float, str, str]:
    """Give a row's number (NaN where there is none), status and reason."""
    number = float(row[column])
    if row["status"] != "ok":
        return float("nan"), str(row["status"]), str(row["reason"])
    if number != number:
        return number, "no number", f"{column} was not recorded"
    return number, "ok", ""

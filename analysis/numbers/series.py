"""The derived quantities that figures, tables and claims share: which cuDNN is the best, ratios, memory, orders, names.

A frame of `rows` here is always the rows of one Selection, so that protocols, suites, batches and numeric classes are
never mixed in one comparison.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.table.archive import Archive, sort_key

STRICT, ACCURATE = "strict_fp32", "fp32_accurate"
#: im2win on tensor cores with error compensation, of the class ACCURATE.
COMPENSATED = "im2win_tensor_core"
PROTOCOLS = ("end_to_end", "kernel_only", "authors")
BEST_CUDNN = "cudnn_best"
ABLATED = ("im2win_without_prefetch", "im2win_without_vectorized_load", "im2win_without_micro_kernel")
# Beyond the paper: no claim rests on them.
FURTHER_ABLATED = ("im2win_without_double_buffering", "im2win_without_shared_memory")
ALL_ABLATED = (*ABLATED, *FURTHER_ABLATED)
NOT_MEASURED = "not measured"
MIB = 2**20

# Algorithm -> its name for people. The order is that of the tables; an algorithm that is not here follows by name.
LABELS = {
    "im2col_cublas": "im2col + cuBLAS",
    "cudnn_best": "best cuDNN",
    "im2win": "im2win",
    "direct": "direct",
    "im2win_base": "im2win, base",
    "im2win_without_prefetch": "without prefetch",
    "im2win_without_vectorized_load": "without vectorized load",
    "im2win_without_micro_kernel": "without micro-kernel",
    "im2win_without_double_buffering": "without double buffering",
    "im2win_without_shared_memory": "without shared memory",
    "im2win_fused": "im2win, fused",
    "im2win_winograd": "im2win, Winograd",
    "im2win_tensor_core": "im2win, tensor cores (compensated)",
    "split_fp16_channels": "cuDNN FP16, split channels",
    "cudnn_implicit_gemm": "cuDNN implicit GEMM",
    "cudnn_implicit_precomp_gemm": "cuDNN implicit precomputed GEMM",
    "cudnn_gemm": "cuDNN GEMM",
    "cudnn_fft": "cuDNN FFT",
    "cudnn_fft_tiling": "cuDNN FFT tiling",
    "cudnn_winograd": "cuDNN Winograd",
    "cudnn_winograd_nonfused": "cuDNN Winograd, non-fused",
    "cudnn_autotuned": "cuDNN autotuned",
    "cublas_gemm_ceiling": "cuBLAS GEMM, same shape (ceiling)",
    "cpu_im2col": "im2col (CPU)",
    "cpu_torch": "PyTorch (CPU)",
    "cpu_im2win": "im2win (CPU)",
    "cpu_direct": "direct (CPU)",
    "cpu_fft": "FFT (CPU)",
}


@dataclass(frozen=True)
class Selection:
    """One comparison: everything in it was measured in the same way on the same problems."""

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
    """How memory is told: the paper's whole-process peak or, where a table has none, the bytes we counted."""

    column: str
    label: str


PROCESS_PEAK = MemoryMetric("process_peak_bytes", "peak memory of the process")
COUNTED = MemoryMetric("counted_bytes", "tensors + workspace, counted (no process peak was recorded)")


def label(algorithm: str) -> str:
    """Name an algorithm for people."""
    return LABELS.get(algorithm, algorithm)


def algorithm_order(names: Iterable[str]) -> list[str]:
    """Order algorithms as LABELS does, unknown ones last by name."""
    known = list(LABELS)
    return sorted(set(names), key=lambda name: (known.index(name) if name in known else len(known), name))


def layer_order(names: Iterable[str]) -> list[str]:
    """Order layers naturally: conv2 before conv10."""
    return sorted(set(names), key=sort_key)


def selections(measurements: pd.DataFrame, protocols: tuple[str, ...] = PROTOCOLS) -> list[Selection]:
    """List what a table holds, the headline first.

    That is the experiment `paper`, suite `paper_table`, batch 64, the first of `protocols` and strict FP32, as far as
    they are there; everything else follows in natural order.
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
    """Choose the first selection that has a row of any algorithm in `having`; without `having`, the very first."""
    wanted = set(having)
    for selection in selections(measurements, protocols):
        if not wanted or wanted & set(rows_of(measurements, selection)["algorithm"]):
            return selection
    return None


def rows_of(measurements: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """Take the rows of one selection, with the counted bytes beside the measured ones."""
    rows = measurements
    # The batch first: numbers compare faster than texts, and then there are fewer rows.
    for column in ("batch", "experiment", "suite", "protocol", "numerics"):
        rows = rows[rows[column] == getattr(selection, column)]
    rows = rows.copy()
    rows[COUNTED.column] = rows["tensor_bytes"] + rows["workspace_bytes"]
    rows["chosen"] = rows["algorithm"]
    return rows


def compensated(measurements: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """Take the rows of im2win on tensor cores that were measured as a selection was, in their own class."""
    rows = rows_of(measurements, replace(selection, numerics=ACCURATE))
    return rows[rows["algorithm"] == COMPENSATED]


def with_best_cudnn(rows: pd.DataFrame) -> pd.DataFrame:
    """Add one row per layer for `cudnn_best`: a copy of the fastest ok cuDNN row, named in the column `chosen`.

    The autotuned cuDNN takes part; of equal times the named algorithm is taken. Where no cuDNN row of a layer is ok,
    the added row has the status that they share (`failed` where they differ) and all their reasons. ValueError
    where the rows are of more than one numeric class: those are never mixed in one best.
    """
    if rows["numerics"].nunique() > 1:
        raise ValueError(f"one best over several numeric classes: {', '.join(sorted(rows['numerics'].unique()))}")
    cudnn = rows[rows["algorithm"].str.startswith("cudnn_") & (rows["algorithm"] != BEST_CUDNN)]
    if cudnn.empty:
        return rows
    ranked = cudnn.assign(autotuned=cudnn["algorithm"] == "cudnn_autotuned")[cudnn["status"] == "ok"]
    ranked = ranked.sort_values(["time_ms", "autotuned", "algorithm"]).drop(columns="autotuned")
    best = ranked.drop_duplicates("layer")
    layers = list(dict.fromkeys(cudnn["layer"]))
    without = [_no_best(cudnn[cudnn["layer"] == layer]) for layer in layers if layer not in set(best["layer"])]
    dtypes = rows.dtypes.to_dict()
    added = pd.concat([part.astype(dtypes) for part in (best, pd.DataFrame(without)) if len(part)])
    added = added.assign(algorithm=BEST_CUDNN).set_index("layer", drop=False).loc[layers]
    return pd.concat([rows, added], ignore_index=True)


def _no_best(rows: pd.DataFrame) -> pd.Series:
    """Say why a layer has no best cuDNN: of its cuDNN rows, none is ok."""
    row = rows.iloc[0].copy()
    states = set(rows["status"])
    reasons = [f"{name}: {why}" for name, why in zip(rows["algorithm"], rows["reason"], strict=True)]
    row["status"] = states.pop() if len(states) == 1 else "failed"
    row["reason"] = "no cuDNN algorithm ran: " + "; ".join(reasons)
    row["chosen"] = ""
    return row


def memory_metric(rows: pd.DataFrame) -> MemoryMetric:
    """Choose the paper's metric if any ok row has it: a process peak is never compared with counted bytes."""
    peaks = rows.loc[rows["status"] == "ok", PROCESS_PEAK.column]
    return PROCESS_PEAK if peaks.notna().any() else COUNTED


def constant_memory(archive: Archive, rows: pd.DataFrame) -> str:
    """Say how much of the process's peak is its constant part; nothing where it was not measured or is not shown.

    That is what a process takes which only makes a context: no algorithm can take less.
    """
    constant = (archive.provenance.get("ceilings") or {}).get("context_bytes")
    if not constant or memory_metric(rows) != PROCESS_PEAK:
        return ""
    return f"{constant / MIB:.0f} MiB of each is constant: what a process takes that only makes a context"


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
    """Divide by layer over the layers that both have, in natural order."""
    common = layer_order(set(ours.index) & set(theirs.index))
    return ours.reindex(common) / theirs.reindex(common)


def geometric_mean(ratios: pd.Series) -> float:
    """Average ratios so that a ratio and its inverse cancel."""
    return float(np.exp(np.log(ratios).mean()))


def speed_unit(kind: str) -> tuple[str, float]:
    """Choose the unit of speed for a device and what to multiply TFLOPS with: CPUs are told in GFLOPS."""
    return ("GFLOPS", 1000.0) if kind == "cpu" else ("TFLOPS", 1.0)


def state_of(rows: pd.DataFrame, layer: str, algorithm: str, column: str) -> tuple[float, str, str]:
    """Give a cell's number (NaN where there is none), its status and its reason."""
    row = rows[(rows["layer"] == layer) & (rows["algorithm"] == algorithm)]
    if row.empty:
        return float("nan"), NOT_MEASURED, f"there is no row for {algorithm} on {layer}"
    return state(row.iloc[0], column)


def state(row: Mapping[Hashable, Any] | pd.Series, column: str) -> tuple[float, str, str]:
    """Give the number of a row (NaN where there is none), its status and its reason."""
    number = float(row[column])
    if row["status"] != "ok":
        return float("nan"), str(row["status"]), str(row["reason"])
    if number != number:
        return number, "no number", f"{column} was not recorded"
    return number, "ok", ""

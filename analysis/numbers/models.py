"""Whole networks that were timed (models.csv): sides of several backends, and how fast they are against PyTorch."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.table.archive import Archive
from analysis.table.companions import read_models

#: PyTorch in FP32 as it comes: what all others are compared with.
BASE = "pytorch"
OURS, FP32, TF32 = "ours", "fp32", "tf32"
EAGER, GRAPH = "eager", "graph"
#: The network of so many small convolutions that tells what a call costs the host (workflow/networks/calls.py). It is
#: compared with no other network.
CALLS, CALLS_COUNT = "calls", 100

_BACKEND_LABELS = {
    BASE: "PyTorch FP32",
    "pytorch_legacy": "PyTorch FP32, older interface",
    "pytorch_channels_last": "PyTorch FP32, channels last",
    "pytorch_tf32": "PyTorch TF32",
    "pytorch_tf32_channels_last": "PyTorch TF32, channels last",
    "pytorch_folded": "PyTorch FP32, batch norm folded",
    "pytorch_tf32_folded": "PyTorch TF32, batch norm folded",
    "im2win": "im2win",
    "im2win_fused": "im2win, batch norm, residuals and ReLU fused",
    "im2win_strict": "im2win, strict FP32",
}


@dataclass(frozen=True)
class Side:
    """Backends of which the fastest stands for a network, batch and mode."""

    label: str
    takes: Callable[[str], bool]


#: The sides that are compared with BASE, as figures show them.
SIDES: Mapping[str, Side] = {
    OURS: Side("ours, FP32-accurate", lambda name: name.startswith("im2win") and name != "im2win_strict"),
    FP32: Side("PyTorch's FP32, the fastest way", lambda name: name.startswith("pytorch") and "tf32" not in name),
    TF32: Side("PyTorch's TF32, the fastest way", lambda name: name.startswith("pytorch_tf32")),
}


@dataclass(frozen=True)
class Speedup:
    """How many times as fast as PyTorch's FP32 one side is, between the ratios of the ends of both intervals."""

    model: str
    batch: int
    mode: str
    side: str
    backend: str
    value: float
    low: float
    high: float


def models(archive: Archive) -> pd.DataFrame:
    """Give the rows of models.csv, in its order, with `speedup` over BASE; without rows where there is none."""
    rows = read_models(archive.folder)
    base = rows[rows["backend"] == BASE].set_index(["model", "batch", "mode"])["time_ms"]
    keys = pd.MultiIndex.from_frame(rows[["model", "batch", "mode"]])
    return rows.assign(speedup=base.reindex(keys).to_numpy() / rows["time_ms"].to_numpy())


def label(backend: str) -> str:
    """Name a backend for people; one that is not known here has its own name."""
    return _BACKEND_LABELS.get(backend, backend.replace("_", " "))


def in_order(backends: Iterable[str]) -> list[str]:
    """Sort backends: those that are known here first, ours last."""
    known = list(_BACKEND_LABELS)
    there = set(backends)
    return sorted(there, key=lambda name: (name.startswith("im2win"), known.index(name) if name in known else 99, name))


def speedups(rows: pd.DataFrame, mode: str, largest: bool) -> list[Speedup]:
    """Compare each side with BASE in a mode, for each network at its largest or its smallest batch."""
    found = []
    rows = rows[(rows["mode"] == mode) & (rows["model"] != CALLS)]
    for model, every in rows.groupby("model", sort=False):
        batch = every["batch"].max() if largest else every["batch"].min()
        ok = every[(every["batch"] == batch) & (every["status"] == "ok")].set_index("backend")
        if BASE not in ok.index:
            continue
        base = ok.loc[BASE]
        for side, one in SIDES.items():
            members = ok[[one.takes(name) for name in ok.index]]
            if members.empty:
                continue
            name = str(members["time_ms"].idxmin())
            best = members.loc[name]
            # PyTorch's FP32 against itself is no measurement.
            low = 1.0 if name == BASE else base["time_ms_low"] / best["time_ms_high"]
            high = 1.0 if name == BASE else base["time_ms_high"] / best["time_ms_low"]
            value = base["time_ms"] / best["time_ms"]
            found.append(Speedup(str(model), int(batch), mode, side, name, float(value), float(low), float(high)))
    return found


def by_side(found: Iterable[Speedup]) -> dict[str, pd.Series]:
    """Give the speedups of each of SIDES, by network."""
    values: dict[str, dict[str, float]] = {side: {} for side in SIDES}
    for one in found:
        values[one.side][one.model] = one.value
    return {side: pd.Series(of_side, dtype=float) for side, of_side in values.items()}


def call_times(rows: pd.DataFrame) -> dict[str, float]:
    """Give what a call costs the host in microseconds, for each backend that was timed."""
    calls = rows[(rows["model"] == CALLS) & (rows["mode"] == EAGER) & (rows["status"] == "ok")]
    return {str(row["backend"]): 1000 * row["time_ms"] / CALLS_COUNT for row in calls.to_dict("records")}

"""Sentences on whole networks that were timed: at the largest batch, at the smallest in a CUDA graph, errors, calls."""

import pandas as pd

from analysis.numbers.models import (
    BASE,
    CALLS,
    CALLS_COUNT,
    EAGER,
    FP32,
    GRAPH,
    OURS,
    SIDES,
    TF32,
    Speedup,
    by_side,
    call_times,
    label,
    models,
    speedups,
)
from analysis.numbers.series import geometric_mean
from analysis.table.archive import Archive
from analysis.writing.phrases import names, number, plural


def findings(archive: Archive) -> list[str]:
    """Say where ours is faster than PyTorch and where it is not, and what it costs in accuracy."""
    rows = models(archive)
    if rows.empty:
        return []
    said = [
        _compared(speedups(rows, EAGER, largest=True), "at their largest batch, eagerly"),
        _compared(speedups(rows, GRAPH, largest=False), "at their smallest batch, in a CUDA graph"),
        _errors(rows[rows["model"] != CALLS]),
        _calls(rows),
    ]
    return [sentence for sentence in said if sentence]


def _compared(found: list[Speedup], how: str) -> str:
    sides = by_side(found)
    ours = sides[OURS]
    if ours.empty:
        return ""
    said = (
        f"Whole networks {how}: ours is faster than PyTorch in FP32 as it comes on {_ahead(ours > 1)}, "
        f"{number(geometric_mean(ours))}x in the geometric mean, {_span(ours)}"
    )
    for side, what in ((FP32, "than its fastest way in FP32"), (TF32, "than its fastest in TF32")):
        others = sides[side]
        both = [name for name in ours.index if name in others.index]
        if both:
            over = ours[both] / others[both]
            mean = f"{number(geometric_mean(over))}x"
            said += f"; {what} on {_ahead(over > 1)}{_which(over > 1)}, {mean} in the geometric mean"
    return f"{said}."


def _ahead(faster: pd.Series) -> str:
    return f"{int(faster.sum())} of {plural(len(faster), 'network')}"


def _which(faster: pd.Series) -> str:
    """Name the networks on which it is faster or, if these are more, those on which it is not."""
    ahead, behind = list(faster.index[faster]), list(faster.index[~faster])
    if not ahead or not behind:
        return ""
    return f" ({names(ahead)})" if len(ahead) <= len(behind) else f" (not {names(behind)})"


def _span(ours: pd.Series) -> str:
    return f"{number(ours.min())}x ({ours.idxmin()}) to {number(ours.max())}x ({ours.idxmax()})"


def _errors(rows: pd.DataFrame) -> str:
    ok = rows[rows["status"] == "ok"]
    parts = []
    for what, takes in (("ours", SIDES[OURS].takes), ("PyTorch in FP32", BASE.__eq__), ("TF32", SIDES[TF32].takes)):
        of_side = ok[[bool(takes(name)) for name in ok["backend"]]]
        if not of_side.empty:
            worst = of_side.loc[of_side["error_fro"].idxmax()]
            parts.append(f"{worst['error_fro']:.1e} by {what} ({worst['model']})")
    if not parts:
        return ""
    bad = len(rows) - len(ok)
    rest = f"; {bad} of {plural(len(rows), 'row')} are not ok" if bad else ""
    return f"The largest relative error of a network's output against float64 is {names(parts)}{rest}."


def _calls(rows: pd.DataFrame) -> str:
    times = [f"{number(time)} us by {label(name)}" for name, time in call_times(rows).items()]
    how = f"a {CALLS_COUNT}th of the eager forward pass of as many small ones"
    return f"A call of a convolution costs the host {names(times)} ({how})." if times else ""

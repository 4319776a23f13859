"""What every figure is prepared as, and the phrases that their captions share."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.numbers.series import (
    ACCURATE,
    BEST_CUDNN,
    COMPENSATED,
    Selection,
    compensated,
    label,
    layer_order,
    pick,
    ratio,
    rows_of,
    state_of,
    with_best_cudnn,
)
from analysis.table.archive import Archive
from analysis.writing.phrases import names, number, plural

COMPARED = ("im2col_cublas", BEST_CUDNN, "im2win", "direct")
CPU_COMPARED = ("cpu_im2col", "cpu_torch", "cpu_im2win", "cpu_direct", "cpu_fft")
#: Our own convolutions that are faster than the paper's; shown beside it where a table has them.
FASTER = ("im2win_fused", "im2win_winograd", COMPENSATED)
FRAME_COLUMNS = ("layer", "algorithm", "value", "status", "reason")


@dataclass(frozen=True, eq=False)
class Panel:
    """One set of axes: a tidy frame (in drawing order; NaN where there is no number) and its texts."""

    title: str
    axis: str
    frame: pd.DataFrame
    note: str = ""
    x_axis: str = ""


@dataclass(frozen=True, eq=False)
class Picture:
    """All that a figure shows; one that cannot be drawn has no panels, and a note that says why."""

    title: str
    panels: tuple[Panel, ...] = ()
    caption: str = ""
    note: str = ""

    @property
    def text(self) -> str:
        """The caption, or why there is nothing to see."""
        return f"Not drawn: {self.note}." if self.note else self.caption


def headline(archive: Archive) -> tuple[Selection, pd.DataFrame]:
    """Take the rows of the selection that the figures show first, with the best cuDNN."""
    selection = pick(archive.measurements)
    assert selection is not None, "a table that was read has rows"
    return selection, with_best_cudnn(rows_of(archive.measurements, selection))


def with_compensated(archive: Archive, selection: Selection, rows: pd.DataFrame) -> pd.DataFrame:
    """Add im2win on tensor cores, which is of another class and says so by its name, to a selection's rows."""
    return pd.concat([rows, compensated(archive.measurements, selection)], ignore_index=True)


def classes(archive: Archive, selection: Selection) -> list[Selection]:
    """List the classes of arithmetic that were measured as a selection was, its own first."""
    found = sorted(archive.measurements["numerics"].unique(), key=lambda one: (one != selection.numerics, one))
    every = [replace(selection, numerics=one) for one in found]
    return [one for one in every if not rows_of(archive.measurements, one).empty]


def other_class(frame: pd.DataFrame) -> str:
    """Say of which class im2win on tensor cores is, where a frame has it."""
    if COMPENSATED not in set(frame["algorithm"]):
        return ""
    return f" {label(COMPENSATED)}, of the class {ACCURATE}, is on tensor cores with error compensation."


def shown(archive: Archive, rows: pd.DataFrame) -> tuple[str, ...]:
    """List the paper's convolutions, and the faster ones that the table has, in drawing order."""
    if archive.device_kind == "cpu":
        return CPU_COMPARED
    present = set(rows["algorithm"])
    return (*COMPARED[:3], *(name for name in FASTER if name in present), *COMPARED[3:])


def ours(archive: Archive) -> str:
    """Name the paper's convolution on this kind of device."""
    return "cpu_im2win" if archive.device_kind == "cpu" else "im2win"


def cells(rows: pd.DataFrame, algorithms: Iterable[str], column: str, factor: float = 1.0) -> pd.DataFrame:
    """Lay one column out as FRAME_COLUMNS, algorithm by algorithm, a row for every layer of `rows`."""
    found = []
    for algorithm in algorithms:
        for layer in layer_order(rows["layer"]):
            value, status, reason = state_of(rows, layer, algorithm, column)
            found.append((layer, algorithm, value * factor, status, reason))
    return pd.DataFrame(found, columns=list(FRAME_COLUMNS))


def geometric_mean(values: pd.Series) -> float:
    """Average ratios; NaN of none."""
    return float(np.exp(np.log(values).mean())) if len(values) else float("nan")


def compared(rows: pd.DataFrame, algorithm: str, baselines: Iterable[str]) -> str:
    """Say where an algorithm is faster than others, e.g. faster than direct on 2 of 12 layers (3.1x on average)."""
    said = []
    for baseline in baselines:
        over = ratio(rows, algorithm, baseline, "tflops")
        if not over.empty:
            ahead = f"{int((over > 1).sum())} of {plural(len(over), 'layer')}"
            said.append(f"faster than {label(baseline)} on {ahead} ({number(float(over.mean()))}x on average)")
    return names(said, "")


def missing(frame: pd.DataFrame) -> str:
    """Say how many cells have no number and why; nothing where all have one."""
    absent = frame[frame["value"].isna()]
    if absent.empty:
        return ""
    counts = absent["status"].value_counts().sort_index()
    said = names(f"{count} {str(status).replace('_', ' ')}" for status, count in counts.items())
    return f" No number: {said}."

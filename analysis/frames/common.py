"""The data that a figure is drawn from (Panel, Picture), and phrases that several captions share."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pandas as pd

from analysis.numbers.algorithms import ACCURATE, about, in_order, label
from analysis.numbers.series import Selection, geometric_mean, layer_order, ratio, rows_of, state_of
from analysis.table.archive import Archive
from analysis.writing.phrases import names, number, plural

#: How the caption begins of a figure for which a table has no data.
NOT_DRAWN = "Not drawn"
FRAME_COLUMNS = ("layer", "algorithm", "value", "status", "reason")


@dataclass(frozen=True, eq=False)
class Panel:
    """The data and texts of one set of axes; the frame is tidy, in drawing order, with NaN where there is no number."""

    title: str
    axis: str
    frame: pd.DataFrame
    note: str = ""
    x_axis: str = ""


@dataclass(frozen=True, eq=False)
class Picture:
    """The data and texts of one figure; one that cannot be drawn has no panels, and a note that says why."""

    title: str
    panels: tuple[Panel, ...] = ()
    caption: str = ""
    note: str = ""

    @property
    def text(self) -> str:
        """The caption, or why the figure is not drawn."""
        return f"{NOT_DRAWN}: {self.note}." if self.note else self.caption


def classes(archive: Archive, selection: Selection) -> list[Selection]:
    """List the selections that differ from this one in nothing but the numeric class; this one comes first."""
    found = sorted(archive.measurements["numerics"].unique(), key=lambda one: (one != selection.numerics, one))
    every = [replace(selection, numerics=one) for one in found]
    return [one for one in every if not rows_of(archive.measurements, one).empty]


def other_class(frame: pd.DataFrame) -> str:
    """Say which algorithms of a frame are of the class fp32_accurate; empty if none is."""
    found = [label(name) for name in in_order(frame["algorithm"]) if about(name).is_accurate_only]
    if not found:
        return ""
    verb = "runs" if len(found) == 1 else "run"
    return f" {names(found)} {verb} on tensor cores with error compensation (class {ACCURATE})."


def cells(rows: pd.DataFrame, algorithms: Iterable[str], column: str, factor: float = 1.0) -> pd.DataFrame:
    """Arrange one column of `rows` as FRAME_COLUMNS: a row for every algorithm and every layer."""
    found = []
    for algorithm in algorithms:
        for layer in layer_order(rows["layer"]):
            value, status, reason = state_of(rows, layer, algorithm, column)
            found.append((layer, algorithm, value * factor, status, reason))
    return pd.DataFrame(found, columns=list(FRAME_COLUMNS))


def compared(rows: pd.DataFrame, algorithm: str, baselines: Iterable[str]) -> str:
    """Say where an algorithm is faster than others, e.g. faster than direct on 2 of 12 layers (mean 3.1x)."""
    said = []
    for baseline in baselines:
        over = ratio(rows, algorithm, baseline, "tflops")
        if not over.empty:
            ahead = f"{int((over > 1).sum())} of {plural(len(over), 'layer')}"
            said.append(f"faster than {label(baseline)} on {ahead} (mean {number(geometric_mean(over))}x)")
    return names(said, "")


def missing(frame: pd.DataFrame) -> str:
    """Count the cells without a number by their status; empty if every cell has one."""
    absent = frame[frame["value"].isna()]
    if absent.empty:
        return ""
    counts = absent["status"].value_counts().sort_index()
    said = names(f"{count} {str(status).replace('_', ' ')}" for status, count in counts.items())
    return f" No number: {said}."

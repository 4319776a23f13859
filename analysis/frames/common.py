"""What every figure is prepared as, and the phrases that their captions share."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pandas as pd

from analysis.numbers.algorithms import ACCURATE, about, in_order, label
from analysis.numbers.series import Selection, layer_order, ratio, rows_of, state_of
from analysis.table.archive import Archive
from analysis.writing.phrases import names, number, plural

#: How the caption of a figure begins that a table has no data for.
NOT_DRAWN = "Not drawn"
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
        return f"{NOT_DRAWN}: {self.note}." if self.note else self.caption


def classes(archive: Archive, selection: Selection) -> list[Selection]:
    """List the classes of arithmetic that were measured as a selection was, its own first."""
    found = sorted(archive.measurements["numerics"].unique(), key=lambda one: (one != selection.numerics, one))
    every = [replace(selection, numerics=one) for one in found]
    return [one for one in every if not rows_of(archive.measurements, one).empty]


def other_class(frame: pd.DataFrame) -> str:
    """Say which algorithms of a frame are of the class fp32_accurate, where it has any."""
    found = [label(name) for name in in_order(frame["algorithm"]) if about(name).is_accurate_only]
    if not found:
        return ""
    verb = "is" if len(found) == 1 else "are"
    return f" {names(found)}, of the class {ACCURATE}, {verb} on tensor cores with error compensation."


def cells(rows: pd.DataFrame, algorithms: Iterable[str], column: str, factor: float = 1.0) -> pd.DataFrame:
    """Lay one column out as FRAME_COLUMNS, algorithm by algorithm, a row for every layer of `rows`."""
    found = []
    for algorithm in algorithms:
        for layer in layer_order(rows["layer"]):
            value, status, reason = state_of(rows, layer, algorithm, column)
            found.append((layer, algorithm, value * factor, status, reason))
    return pd.DataFrame(found, columns=list(FRAME_COLUMNS))


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

"""Networks: speedups with intervals, a line for each network, and stacked times, a panel for each."""

from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from analysis.charts.points import plain
from analysis.charts.style import NO_NUMBER, TWO_COLUMNS, Layout, handles_of, legend, new_figure, palette, style
from analysis.frames.common import Panel, Picture
from analysis.frames.networks import NO_RESULT
from analysis.numbers.layers import KINDS

#: Colour, marker and offset within a line of the first baseline, the second and the third.
BASELINES = (("0", "o"), ("8", "s"), ("3", "D"))
#: Kind of layer -> its look. Neighbours in a stack differ in lightness or by a hatch, so that they do in grey too.
LOOKS = dict(
    zip(
        KINDS,
        (
            *(("0", ""), ("8", ""), ("1", ""), ("6", "....")),
            *(("0.25", ""), ("0.85", "xxxx"), ("2", "++++"), ("9", "\\\\\\\\")),
        ),
        strict=True,
    )
)
LINE = 0.28
SPREAD = 0.56
#: Height of a panel of bars, and of everything around the panels, in inches.
PANEL, AROUND = 1.32, 0.85
BAR_WIDTH = 0.78


def speedups(picture: Picture, layout: Layout = TWO_COLUMNS) -> Figure:
    """Draw a line for each network and batch: a mark per baseline with its interval, on a log axis."""
    return _lines(picture, layout, "over ")


def models(picture: Picture, layout: Layout = TWO_COLUMNS) -> Figure:
    """Draw the same with a mark per side of each whole network, the panels side by side."""
    return _lines(picture, layout, "")


def _lines(picture: Picture, layout: Layout, before: str) -> Figure:
    lines = max(panel.frame["network"].nunique() for panel in picture.panels)
    with style(layout):
        figure = new_figure(picture, layout, LINE * lines + AROUND)
        grid = figure.subplots(1, len(picture.panels), squeeze=False)[0]
        for axes, panel in zip(grid, picture.panels, strict=True):
            ends = [1.0, *(end for column in ("value", "low", "high") for end in panel.frame[column].dropna())]
            _dots(axes, panel, before)
            axes.set_xlim(min(ends) / 1.25, max(ends) * 1.25)
            plain(axes, "x")
        legend(figure, handles_of(grid), 3 if layout is TWO_COLUMNS else 1)
    return figure


def _dots(axes: Axes, panel: Panel, before: str) -> None:
    frame = panel.frame
    names, sides = (list(dict.fromkeys(frame[column])) for column in ("network", "side"))
    axes.set_xscale("log")
    axes.set(xlabel=panel.x_axis, title=panel.title)
    for index, side in enumerate(sides):
        rows = frame[(frame["side"] == side) & frame["value"].notna()]
        y = rows["network"].map(names.index).to_numpy(float) + SPREAD * ((index + 0.5) / len(sides) - 0.5)
        value = rows["value"].to_numpy()
        low, high = (rows[column].fillna(rows["value"]).to_numpy() for column in ("low", "high"))
        color, marker = BASELINES[index % len(BASELINES)]
        name = f"{before}{frame.loc[frame['side'] == side, 'over'].iloc[0]}"
        bars = axes.errorbar(
            value, y, xerr=(value - low, high - value), fmt=marker, color="black", label=name, elinewidth=0.8
        )
        bars[0].set(markerfacecolor=palette(color), markersize=4.5, markeredgecolor="black", markeredgewidth=0.5)
    for edge in range(1, len(names)):
        axes.axhline(edge - 0.5, color="0.9", linewidth=0.5, zorder=0)
    axes.axvline(1, color="0.3", linewidth=0.7, zorder=0)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")


def stacks(picture: Picture, layout: Layout = TWO_COLUMNS) -> Figure:
    """Draw a panel for each network with a stacked bar per side; the total stands after it."""
    columns = min(len(picture.panels), 2 if layout is TWO_COLUMNS else 1)
    count = -(-len(picture.panels) // columns)
    with style(layout):
        figure = new_figure(picture, layout, PANEL * count + AROUND)
        grid = figure.subplots(count, columns, squeeze=False)
        for index, panel in enumerate(picture.panels):
            _stack(grid.flat[index], panel, layout.wrap(panel.title, 1 / columns - 0.04), named=index % columns == 0)
        for axes in grid.flat[len(picture.panels) :]:
            axes.set_axis_off()
        kinds = {kind for panel in picture.panels for kind in panel.frame["kind"]}
        handles: dict[str, Artist] = {kind: Patch(**_look(kind)) for kind in (*LOOKS, NO_RESULT) if kind in kinds}
        legend(figure, handles, 9 if layout is TWO_COLUMNS else 3)
    return figure


def _look(kind: str) -> dict[str, Any]:
    if kind == NO_RESULT:
        return NO_NUMBER
    color, hatch = LOOKS[kind]
    return {"facecolor": palette(color), "hatch": hatch, "edgecolor": "black"}


def _stack(axes: Axes, panel: Panel, title: str, named: bool) -> None:
    frame = panel.frame
    labels = list(dict.fromkeys(frame["label"]))
    axes.set_title(title)
    for kind, rows in frame[frame["value"].notna()].groupby("kind", sort=False):
        y = rows["label"].map(labels.index)
        axes.barh(y, rows["value"], BAR_WIDTH, rows["left"], label=kind, **_look(str(kind)))
    for row in frame[frame["said"] != ""].itertuples():
        end = row.left + row.value if row.value == row.value else 0
        axes.annotate(row.said, (end, labels.index(row.label)), (2, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(labels)), labels if named else [""] * len(labels))
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.margins(x=0.16)
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel(panel.x_axis, labelpad=0.5)
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")

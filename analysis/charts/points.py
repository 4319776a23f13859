"""Points: times with intervals over the layers, scatters, the roofline, and lines over batches."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from analysis.charts.style import TWO_COLUMNS, Layout, handles_of, legend, look, new_figure, style
from analysis.frames.common import Panel, Picture
from analysis.numbers.algorithms import label

SPREAD = 0.6
PER_ROW = 4
#: The names of the layers above a roofline are in this many rows at most.
ROWS = 4


def intervals(picture: Picture, layout: Layout = TWO_COLUMNS) -> Figure:
    """Draw the time (log) above and its interval in % below, a dot with error bars per layer and algorithm."""
    with style(layout):
        figure = new_figure(picture, layout, 4.2)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        for axes, panel in zip((above, below), picture.panels, strict=True):
            _dots(axes, panel, layout)
        above.set_yscale("log")
        plain(above, "y")
        below.axhline(0, color="0.5", linewidth=0.5)
        legend(figure, handles_of([above]), 6 if layout is TWO_COLUMNS else 3)
    return figure


def _dots(axes: Axes, panel: Panel, layout: Layout) -> None:
    frame = panel.frame
    layers, algorithms = (list(dict.fromkeys(frame[column])) for column in ("layer", "algorithm"))
    place = {layer: index for index, layer in enumerate(layers)}
    axes.set_title(layout.wrap(panel.title))
    axes.set_ylabel(panel.axis)
    axes.set_xticks(range(len(layers)), layers, rotation=layout.rotation)
    axes.set_xlim(-0.6, len(layers) - 0.4)
    for edge in range(1, len(layers)):
        axes.axvline(edge - 0.5, color="0.9", linewidth=0.5, zorder=0)
    for index, algorithm in enumerate(algorithms):
        rows = frame[(frame["algorithm"] == algorithm) & frame["value"].notna()]
        x = rows["layer"].map(place).to_numpy(float) + SPREAD * ((index + 0.5) / len(algorithms) - 0.5)
        value = rows["value"].to_numpy()
        low, high = (rows[column].fillna(rows["value"]).to_numpy() for column in ("low", "high"))
        color, marker = look(algorithm)
        bars = axes.errorbar(x, value, (value - low, high - value), fmt=marker, color=color, label=label(algorithm))
        bars[0].set(markersize=4, markeredgecolor="black", markeredgewidth=0.4)


def scatter(picture: Picture, layout: Layout = TWO_COLUMNS) -> Figure:
    """Draw log-log scatters above each other; rows without a layer are means and get a large mark."""
    with style(layout):
        figure = new_figure(picture, layout, max(3.9, 1.3 * len(picture.panels) + 1.3))
        grid = figure.subplots(len(picture.panels), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
        for axes, panel in zip(grid, picture.panels, strict=True):
            _scatter(axes, panel, layout)
        for axes in grid:  # not before all are drawn: they share their axes
            _widen(axes)
            for name in ("x", "y"):
                plain(axes, name)
        for axes in grid[:-1]:
            axes.set_xlabel("")
        legend(figure, handles_of(grid), 3 if layout is TWO_COLUMNS else 2)
    return figure


def _scatter(axes: Axes, panel: Panel, layout: Layout) -> None:
    means = (panel.frame["layer"] == "").any()
    for algorithm, rows in panel.frame.groupby("algorithm", sort=False):
        color, marker = look(str(algorithm))
        name = rows["name"].iloc[0]
        single = rows[rows["layer"] != ""]
        many: dict[str, Any] = {"color": color, "marker": marker, "linestyle": "none"}
        many["markeredgecolor"] = _edge(marker, color)
        size = 2.5 if means else 4.5
        faint: dict[str, Any] = {"alpha": 0.45} if means else {"label": name}
        axes.plot(single["x"], single["y"], markersize=size, markeredgewidth=0.3, **many, **faint)
        if means:
            mean = rows[rows["layer"] == ""]
            axes.plot(mean["x"], mean["y"], markersize=8, markeredgewidth=0.8, zorder=3, label=name, **many)
    axes.set(xscale="log", yscale="log", xlabel=panel.x_axis, ylabel=panel.axis)
    axes.set_title(layout.wrap(panel.title))
    axes.grid(True, axis="both")
    if means:
        axes.axhline(1, color="0.4", linewidth=0.7, zorder=0)


def _widen(axes: Axes) -> None:
    """Widen each log axis to a factor of 4 at least, so that even a single point has readable ticks beside it."""
    for limits, put in ((axes.get_xlim(), axes.set_xlim), (axes.get_ylim(), axes.set_ylim)):
        middle = float(np.sqrt(limits[0] * limits[1]))
        put(min(limits[0], middle / 2), max(limits[1], middle * 2))


def _edge(marker: str, color: tuple[float, float, float]) -> object:
    """Choose the colour of a marker's edge; markers that consist of lines have no other than their own."""
    return color if marker in "1_+" else "black"


def roofline(picture: Picture, layout: Layout = TWO_COLUMNS) -> Figure:
    """Draw the points of the first panel and the ceilings of the second; a layer is named at its intensity."""
    points, ceilings = picture.panels
    with style(layout):
        figure = new_figure(picture, layout, 3.9)
        axes = figure.subplots()
        _scatter(axes, points, layout)
        for index, (name, rows) in enumerate(ceilings.frame.groupby("name", sort=False)):
            dashes = ("-", "--", ":")[index % 3]
            axes.plot(rows["x"], rows["y"], color="0.25", linestyle=dashes, linewidth=0.9, label=str(name), zorder=1)
        axes.autoscale()
        _widen(axes)
        for name in ("x", "y"):
            plain(axes, name)
        _name_layers(axes, points.frame, layout)
        legend(figure, handles_of([axes]), 3 if layout is TWO_COLUMNS else 2)
    return figure


def _name_layers(axes: Axes, frame: pd.DataFrame, layout: Layout) -> None:
    """Write the layers' names above the axes, in several rows where their intensities are nearly the same."""
    step: dict[str, Any] = {"size": layout.font - 1, "color": "0.3", "ha": "center", "va": "bottom"}
    low, high = np.log(axes.get_xlim())
    last: list[float] = []  # where the last name of each row of names is, in parts of the axis
    for layer, x in frame.drop_duplicates("layer").sort_values("x", kind="stable")[["layer", "x"]].to_numpy():
        at = (np.log(x) - low) / (high - low)
        row = next((index for index, other in enumerate(last) if at - other > 0.065), len(last) % ROWS)
        last[row : row + 1] = [at]
        axes.text(at, 1.01 + 0.04 * row, layer, transform=axes.transAxes, **step)
        axes.axvline(x, color="0.88", linewidth=0.5, zorder=0)
    axes.set_title(axes.get_title(loc="left"), pad=5 + 7 * len(last))


def lines(picture: Picture, layout: Layout = TWO_COLUMNS) -> Figure:
    """Draw a small panel per layer with a line per algorithm over the batches."""
    columns = PER_ROW if layout is TWO_COLUMNS else PER_ROW // 2
    count = -(-len(picture.panels) // columns)
    with style(layout):
        figure = new_figure(picture, layout, 1.4 * count + 0.8)
        grid = figure.subplots(count, columns, squeeze=False, sharex=True)
        for axes, panel in zip(grid.flat, picture.panels, strict=False):
            for algorithm, rows in panel.frame.groupby("algorithm", sort=False):
                _line(axes, rows[~rows["fewer"]], str(algorithm))
                if rows["fewer"].any():
                    _line(axes, rows[rows["fewer"]], str(algorithm), hollow=True)
            axes.set_title(panel.title)
            axes.set_xscale("log", base=2)
            axes.set_xticks(sorted(panel.frame["batch"].unique()))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_ylim(bottom=0)
        for axes in grid.flat[len(picture.panels) :]:
            axes.set_axis_off()
        for axes in grid[:, 0]:
            axes.set_ylabel(picture.panels[0].axis)
        for axes in grid[-1, :]:
            axes.set_xlabel(picture.panels[0].x_axis)
        legend(figure, handles_of(grid.flat[: len(picture.panels)]), 6 if layout is TWO_COLUMNS else 3)
    return figure


def _line(axes: Axes, rows: pd.DataFrame, algorithm: str, hollow: bool = False) -> None:
    color, marker = look(algorithm)
    name = label(algorithm) + (" of fewer algorithms" if hollow else "")
    (drawn,) = axes.plot(rows["batch"], rows["value"], color=color, marker=marker, label=name)
    drawn.set(markersize=4, linewidth=1, markeredgecolor=_edge(marker, color), markeredgewidth=0.3)
    if hollow:
        drawn.set(linestyle="none", markerfacecolor="white", markeredgewidth=0.7)


def plain(axes: Axes, name: str) -> None:
    """Label a log axis with plain numbers: at 1, 2 and 5 if it spans little, else at the powers of ten."""
    low, high = axes.get_xlim() if name == "x" else axes.get_ylim()
    axis = axes.xaxis if name == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 3000 * low else (1,)))
    small = low < 1e-3
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-") if small else f"{value:g}")
    )
    axis.set_minor_formatter(NullFormatter())

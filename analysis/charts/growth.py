"""Errors against the length of the reduction: a mark per layer, bounds as lines; and their mean, which has a sign."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from analysis.charts.points import plain
from analysis.charts.style import TWO_COLUMNS, Layout, class_look, handles_of, legend, look, new_figure, style
from analysis.frames.common import Panel, Picture
from analysis.frames.growth import BIAS_AXIS, BOUND
from analysis.numbers.algorithms import OURS, about


def draw(picture: Picture, layout: Layout = TWO_COLUMNS) -> Figure:
    """Draw the panels of a picture side by side: errors on the same axes, and their mean on one of its own."""
    with style(layout):
        figure = new_figure(picture, layout, 3.4)
        grid = figure.subplots(1, len(picture.panels), squeeze=False, sharex=True)[0]
        for axes, panel in zip(grid, picture.panels, strict=True):
            _draw(axes, panel, layout)
            plain(axes, "x")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            if panel.axis == BIAS_AXIS:
                axes.axhline(0, color="black", linewidth=0.8, zorder=1)
                continue
            axes.set_yscale("log")
            plain(axes, "y")
            if axes is not grid[0]:
                axes.sharey(grid[0])
        legend(figure, handles_of(grid), 2 if layout is TWO_COLUMNS else 1)
    return figure


def _draw(axes: Axes, panel: Panel, layout: Layout) -> None:
    series = ["name", "numerics", "algorithm", "kind"]
    for (name, numerics, algorithm, kind), rows in panel.frame.groupby(series, sort=False):
        # A reference has the look of its class. Several of ours may be in one class, and have their own.
        color, marker = look(algorithm) if about(algorithm).role == OURS else class_look(numerics)
        if kind == BOUND:
            axes.plot(rows["x"], rows["y"], color=color, linestyle="--", linewidth=1, label=name, zorder=1)
        else:
            (drawn,) = axes.plot(rows["x"], rows["y"], color=color, marker=marker, linestyle="none", label=name)
            drawn.set(markersize=5, markeredgecolor="black", markeredgewidth=0.4)
    axes.set(xscale="log", xlabel=panel.x_axis, ylabel=panel.axis)
    axes.set_title(layout.wrap(panel.title))
    axes.grid(True, axis="both")

"""Bars over the layers: grouped (the paper's figures, devices side by side) and stacked (shares of a time)."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from analysis.charts.style import (
    NO_NUMBER,
    TWO_COLUMNS,
    Color,
    Layout,
    handles_of,
    legend,
    look,
    new_figure,
    series_color,
    style,
)
from analysis.frames.common import Panel, Picture
from analysis.numbers.algorithms import label

GROUP_WIDTH = 0.84
#: Added to the label of a series without any bar among what was measured.
NONE = " (no number)"
MARK_HEIGHT = 0.05
#: Height of a panel and of everything around the panels, in inches.
PANEL, AROUND = 1.85, 0.85
DEVICE_PANEL = 1.35


def grouped(picture: Picture, layout: Layout = TWO_COLUMNS) -> Figure:
    """Draw the panels above each other, with a group of bars per layer."""
    with style(layout):
        figure = new_figure(picture, layout, PANEL * len(picture.panels) + AROUND)
        grid = figure.subplots(len(picture.panels), 1, squeeze=False)
        for axes, panel in zip(grid[:, 0], picture.panels, strict=True):
            draw_bars(axes, panel, layout)
        handles = _handles(picture)
        columns = 3 if any(name.endswith(NONE) for name in handles) else 5
        legend(figure, handles, columns if layout is TWO_COLUMNS else 2)
    return figure


def by_device(picture: Picture, layout: Layout = TWO_COLUMNS) -> Figure:
    """Draw grouped bars with a series per device, and a line at 1 if the values are speedups."""
    with style(layout):
        figure = new_figure(picture, layout, DEVICE_PANEL * len(picture.panels) + AROUND)
        grid = figure.subplots(len(picture.panels), 1, squeeze=False)
        for axes, panel in zip(grid[:, 0], picture.panels, strict=True):
            draw_bars(axes, panel, layout, _device_colors(panel))
            if panel.axis == "speedup":
                axes.axhline(1, color="0.3", linewidth=0.7)
        legend(figure, _handles(picture, _device_colors), 3 if layout is TWO_COLUMNS else 1)
    return figure


def draw_bars(
    axes: Axes, panel: Panel, layout: Layout = TWO_COLUMNS, colors: Mapping[str, Color] | None = None
) -> None:
    """Draw a group per layer with a bar per algorithm, or per device if there are `colors`, in the frame's order."""
    algorithms = list(dict.fromkeys(panel.frame["algorithm"]))
    place = _prepare(axes, panel, layout)
    width = GROUP_WIDTH / len(algorithms)
    for index, algorithm in enumerate(algorithms):
        rows = panel.frame[panel.frame["algorithm"] == algorithm]
        x = rows["layer"].map(place).to_numpy(float) + (index - (len(algorithms) - 1) / 2) * width
        there = rows["value"].notna().to_numpy()
        color = colors[algorithm] if colors else look(algorithm)[0]
        axes.bar(x[there], rows["value"][there], width, color=color, edgecolor="black", label=label(algorithm))
        _mark_missing(axes, x[~there], width, rows[~there], algorithm, layout)
    axes.set_ylim(bottom=0)


def shares(picture: Picture, layout: Layout = TWO_COLUMNS) -> Figure:
    """Stack the shares of the kernel and of the transform; the number above is the difference of the times in %.

    A panel without the kernel shows the bandwidth of the transform.
    """
    with style(layout):
        figure = new_figure(picture, layout, PANEL * len(picture.panels) + AROUND)
        grid = figure.subplots(len(picture.panels), 1, squeeze=False)
        for axes, panel in zip(grid[:, 0], picture.panels, strict=True):
            place = _prepare(axes, panel, layout)
            draw = _stack if "kernel" in set(panel.frame["algorithm"]) else _transform_alone
            draw(axes, panel, place, layout)
            axes.set_ylim(0, 112)
        legend(figure, handles_of(figure.axes) | _no_number(picture), 3)
    return figure


def _stack(axes: Axes, panel: Panel, place: dict[str, int], layout: Layout) -> None:
    kernel, moved = (panel.frame[panel.frame["algorithm"] == part] for part in ("kernel", "transform"))
    x = kernel["layer"].map(place).to_numpy(float)
    there = kernel["value"].notna().to_numpy()
    bottom = kernel["value"][there].to_numpy()
    axes.bar(x[there], bottom, GROUP_WIDTH, color=series_color(0), edgecolor="black", label="kernel")
    axes.bar(x[there], moved["value"][there].to_numpy(), GROUP_WIDTH, bottom, label="transform", **_transform_look())
    for at, difference in zip(x[there], kernel["difference"][there.tolist()], strict=True):
        axes.text(at, 101, f"{difference:.0f} %", ha="center", va="bottom")
    _mark_missing(axes, x[~there], GROUP_WIDTH, kernel[~there], "kernel", layout)


def _transform_alone(axes: Axes, panel: Panel, place: dict[str, int], layout: Layout) -> None:
    marks = axes.bar(panel.frame["layer"].map(place), panel.frame["value"], GROUP_WIDTH, **_transform_look())
    axes.bar_label(marks, fmt="%.0f %%")


def _transform_look() -> dict[str, Any]:
    return {"color": series_color(1), "hatch": "....", "edgecolor": "black"}


def _handles(picture: Picture, colors: Callable[[Panel], Mapping[str, Color]] = lambda panel: {}) -> dict[str, Artist]:
    """Make a handle for each series, in its own colour also where no bar has it; then its label says so."""
    found: dict[str, Artist] = {}
    for name in dict.fromkeys(name for panel in picture.panels for name in panel.frame["algorithm"]):
        panels = [panel for panel in picture.panels if name in set(panel.frame["algorithm"])]
        color = colors(panels[0]).get(name) or look(name)[0]
        missing = [panel.frame[panel.frame["algorithm"] == name]["value"].isna().all() for panel in panels]
        found[f"{label(name)}{NONE if missing[0] else ''}"] = Patch(facecolor=color, edgecolor="black")
    return found | _no_number(picture)


def _no_number(picture: Picture) -> dict[str, Artist]:
    absent = any(panel.frame["value"].isna().any() for panel in picture.panels)
    return {"no number": Patch(**NO_NUMBER)} if absent else {}


def _device_colors(panel: Panel) -> dict[str, Color]:
    return {name: series_color(index) for index, name in enumerate(dict.fromkeys(panel.frame["algorithm"]))}


def _prepare(axes: Axes, panel: Panel, layout: Layout) -> dict[str, int]:
    layers = list(dict.fromkeys(panel.frame["layer"]))
    axes.set_title(layout.wrap(panel.title))
    axes.set_ylabel(panel.axis)
    axes.set_xticks(range(len(layers)), layers, rotation=layout.rotation)
    axes.set_xlim(-0.6, len(layers) - 0.4)
    return {layer: index for index, layer in enumerate(layers)}


def _mark_missing(
    axes: Axes, x: Iterable[float], width: float, rows: pd.DataFrame, series: str, layout: Layout
) -> None:
    """Draw a hatched mark of fixed height, in axes coordinates, in place of a bar, with the status above it."""
    transform = axes.get_xaxis_transform()
    marks = axes.bar(list(x), MARK_HEIGHT, width, transform=transform, **NO_NUMBER)
    marks.set_label(f"_missing {series}")
    for place, status in zip(x, rows["status"], strict=True):
        text = f"n/a: {str(status).replace('_', ' ')}"
        written = axes.text(place, MARK_HEIGHT + 0.015, text, transform=transform, ha="center", va="bottom")
        written.set(rotation=90, fontsize=layout.small, color="0.25")

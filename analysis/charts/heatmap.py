"""Heatmaps of algorithms and layers, with a diverging log scale around 1 and every value printed."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter

from analysis.charts.style import NO_NUMBER, TWO_COLUMNS, Layout, new_figure, style
from analysis.frames.common import Panel, Picture
from analysis.numbers.algorithms import label
from analysis.writing.phrases import SHORT

#: The scale ends at 16 times faster or slower; larger ratios have the last colour.
END = 4
COLORS = "PuOr"
DARK = 0.62


def two_decimals(value: float) -> str:
    """Write a ratio short enough for a cell: 0.03, 1.41, 155."""
    return f"{value:.2f}" if value < 99.95 else f"{value:.0f}"


def draw(picture: Picture, layout: Layout = TWO_COLUMNS) -> Figure:
    """Draw the panels of a picture above each other, with one scale of colours."""
    heights = [panel.frame["algorithm"].nunique() for panel in picture.panels]
    with style(layout):
        figure = new_figure(picture, layout, 0.2 * sum(heights) + 0.35 * len(heights) + 0.75)
        grid = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        colors = ScalarMappable(Normalize(-END, END), COLORS)
        for axes, panel in zip(grid, picture.panels, strict=True):
            _cells(axes, panel, colors, layout)
        for axes in grid[:-1]:
            axes.set_xticklabels([])
        bar = figure.colorbar(colors, ax=list(grid), extend="both", fraction=0.03, pad=0.01, aspect=40)
        bar.locator = FixedLocator(range(-END, END + 1))
        bar.formatter = FuncFormatter(lambda power, _: f"{2.0**power:.3g}x")
        bar.ax.set_frame_on(False)
        bar.update_ticks()
    return figure


def _cells(axes: Axes, panel: Panel, colors: ScalarMappable, layout: Layout) -> None:
    frame = panel.frame
    layers, algorithms = (list(dict.fromkeys(frame[column])) for column in ("layer", "algorithm"))
    axes.set_title(layout.wrap(panel.title))
    for cell in frame.itertuples():
        x, y = layers.index(cell.layer), algorithms.index(cell.algorithm)
        box: dict[str, Any] = {"xy": (x - 0.5, y - 0.5), "width": 1, "height": 1, "linewidth": 0.5}
        if cell.value != cell.value:
            axes.add_patch(Rectangle(**box, **NO_NUMBER | {"edgecolor": "0.75"}))
            said = axes.text(x, y, SHORT.get(cell.status, cell.status), ha="center", va="center", color="0.2")
            said.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.6})
        else:
            axes.add_patch(Rectangle(**box, facecolor=colors.to_rgba(cell.log2), edgecolor="white"))
            ink = "white" if abs(cell.log2) > DARK * END else "black"
            axes.text(x, y, two_decimals(cell.value), ha="center", va="center", color=ink)
    axes.set_xticks(range(len(layers)), layers, rotation=layout.rotation)
    axes.set_yticks(range(len(algorithms)), [label(name) for name in algorithms])
    axes.set(xlim=(-0.5, len(layers) - 0.5), ylim=(len(algorithms) - 0.5, -0.5))
    axes.grid(False)
    axes.tick_params(length=0)
    axes.set_frame_on(False)

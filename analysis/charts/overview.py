"""The overview: a line for each layer, and a mark for each side at its speed over the baseline's, on a log axis."""

import math
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.charts.style import DARK_PAGE, FRONT, Color, Layout, handles_of, legend, new_figure, palette, style
from analysis.frames.common import Panel, Picture
from analysis.numbers.networks import BASELINE, OURS, OURS_ACCURATE, REDUCED
from analysis.numbers.overview import PAPER


@dataclass(frozen=True)
class Look:
    """A side's marker, and its colour on a light and on a dark page; in grey the shapes tell the sides apart."""

    marker: str
    light: str
    dark: str
    size: float = 5.5

    def color(self, layout: Layout) -> Color:
        """Give the colour on the layout's page."""
        return palette(self.dark if layout.dark else self.light)


LOOKS = {
    BASELINE: Look("s", "0.45", "0.65"),
    PAPER: Look("o", "0", "9"),
    OURS: Look("^", "2", "#5fd3a8", 6),
    OURS_ACCURATE: Look("D", "3", "1", 7.5),
    REDUCED: Look("x", "0.3", "0.85"),
}
#: Height of a layer's line and of everything around the lines, in inches; the share of a line that marks take.
LINE, AROUND = 0.3, 1.55
SPREAD = 0.66


def draw(picture: Picture, layout: Layout = FRONT) -> Figure:
    """Draw the lines; to the right of the axis stands how fast the FP32-accurate side is, where there is one."""
    (panel,) = picture.panels
    with style(layout):
        figure = new_figure(picture, layout, LINE * panel.frame["layer"].nunique() + AROUND)
        axes = figure.subplots()
        _marks(axes, panel, layout)
        _speeds(axes, panel, layout)
        legend(figure, handles_of([axes]), 2)
    return figure


def _marks(axes: Axes, panel: Panel, layout: Layout) -> None:
    frame = panel.frame
    layers, sides = (list(dict.fromkeys(frame[column])) for column in ("layer", "algorithm"))
    edge = DARK_PAGE if layout.dark else "white"
    band = "#1b222c" if layout.dark else "0.95"
    for index in range(0, len(layers), 2):
        axes.axhspan(index - 0.5, index + 0.5, color=band, linewidth=0, zorder=0)
    axes.axvline(1, color="0.5", linewidth=1, zorder=1)
    for index, side in enumerate(sides):
        rows = frame[(frame["algorithm"] == side) & frame["value"].notna()]
        y = rows["layer"].map(layers.index).to_numpy(float) + SPREAD * ((index + 0.5) / len(sides) - 0.5)
        look, cross = LOOKS[side], LOOKS[side].marker == "x"
        color = look.color(layout)
        if side == OURS_ACCURATE:
            axes.hlines(y, 1, rows["value"], color=color, linewidth=2.2, zorder=2)
        (drawn,) = axes.plot(rows["value"], y, look.marker, color=color, label=rows["label"].iloc[0], zorder=3)
        drawn.set(markersize=look.size, markeredgecolor=color if cross else edge, markeredgewidth=1.5 if cross else 0.6)
    axes.set_xscale("log", base=2)
    ends = [1.0, *frame["value"].dropna()]
    axes.set_xlim(min(ends) / 1.2, max(ends) * 1.12)
    powers = range(math.ceil(math.log2(min(ends) / 1.2)), math.floor(math.log2(max(ends) * 1.12)) + 1)
    axes.set_xticks([2.0**power for power in powers], [f"{2.0**power:g}x" for power in powers])
    axes.minorticks_off()
    axes.set_xlabel(f"slower  \u25c4  {panel.x_axis}  \u25ba  faster")
    axes.set_yticks(range(len(layers)), layers)
    axes.set_ylim(len(layers) - 0.5, -0.5)
    axes.grid(False)
    axes.grid(True, axis="x", color="0.3" if layout.dark else "0.85")
    axes.tick_params(axis="y", length=0)


def _speeds(axes: Axes, panel: Panel, layout: Layout) -> None:
    layers = list(dict.fromkeys(panel.frame["layer"]))
    for row in panel.frame.itertuples():
        if row.algorithm == BASELINE and row.status != "ok":
            said = f"{row.label}: {str(row.status).replace('_', ' ')}"
            axes.annotate(said, (1, layers.index(row.layer)), (4, 0), textcoords="offset points", va="center")
        if row.algorithm == OURS_ACCURATE and row.value == row.value:
            place = (1.015, layers.index(row.layer))
            speed = axes.annotate(f"{row.value:.1f}x", place, xycoords=axes.get_yaxis_transform(), va="center")
            speed.set(fontweight="bold", color=LOOKS[OURS_ACCURATE].color(layout))

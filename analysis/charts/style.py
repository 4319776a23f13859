"""The style of the figures: layouts, colours and markers, the mark of a missing number, reproducible files."""

import io
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.frames.common import Picture
from analysis.numbers.algorithms import about
from analysis.table.files import write_atomically

FORMATS = ("pdf", "svg", "png")
STYLE = Path(__file__).with_name("paper.mplstyle")
# No dates and no version numbers in the files: the same table gives the same bytes.
METADATA: dict[str, dict[str, str | None]] = {
    "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}
HATCH = "//////"
Color = tuple[float, float, float]
NO_NUMBER: dict[str, Any] = {"facecolor": "white", "edgecolor": "0.35", "hatch": HATCH}


@dataclass(frozen=True)
class Layout:
    """A page's width, and the sizes that depend on it."""

    width: float
    font: float
    small: float
    rotation: int
    title_width: int
    dark: bool = False

    def wrap(self, text: str, share: float = 1.0) -> str:
        """Break a title's lines to the width; a `share` below 1 is for larger letters."""
        width = int(share * self.title_width)
        return "\n".join(part for line in text.split("\n") for part in textwrap.wrap(line, width))


#: What is dark on light in `paper.mplstyle`, for a page with light text on this background.
DARK_PAGE, INK = "#0d1117", "#e6edf3"
DARK = {name: DARK_PAGE for name in ("figure.facecolor", "axes.facecolor")} | {
    name: INK for name in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
}
TWO_COLUMNS = Layout(width=7.16, font=7, small=4.5, rotation=0, title_width=125)
ONE_COLUMN = Layout(width=3.5, font=6, small=3.5, rotation=45, title_width=66)
#: For the top of a page, on a phone too: few large letters.
FRONT = Layout(width=4.6, font=9, small=8, rotation=0, title_width=60)


#: The colours and markers of the classes of arithmetic.
CLASSES = {"strict_fp32": ("0", "o"), "fp32_accurate": ("6", "*"), "tf32": ("8", "s")}
UNKNOWN = ("0.5", "+")
#: The colours of series that are not algorithms, such as devices, in order.
SERIES = ("0", "8", "9", "0.2", "4")


def look(algorithm: str) -> tuple[Color, str]:
    """Give an algorithm's colour and marker; one that has no file in conf/algorithm/ is a grey plus."""
    one = about(algorithm)
    return palette(one.color), one.marker


def class_look(numerics: str) -> tuple[Color, str]:
    """Give the colour and marker of a class of arithmetic."""
    color, marker = CLASSES.get(numerics, UNKNOWN)
    return palette(color), marker


def series_color(index: int) -> Color:
    """Give the colour of a series that is not an algorithm; the colours repeat."""
    return palette(SERIES[index % len(SERIES)])


def palette(color: str) -> Color:
    """Turn a place in seaborn's colour-blind palette, a grey level or the name of a colour into a colour."""
    return sns.color_palette("colorblind")[int(color)] if color.isdigit() else mpl.colors.to_rgb(color)


@contextmanager
def style(layout: Layout = TWO_COLUMNS) -> Iterator[None]:
    """Apply the style of all figures, with the sizes of a layout."""
    sizes = ("font.size", "axes.titlesize", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize")
    changes: dict[str, Any] = dict.fromkeys(sizes, layout.font) | {"figure.titlesize": layout.font + 2}
    changes |= DARK if layout.dark else {}
    with mpl.style.context([STYLE, changes], after_reset=True):  # whatever a matplotlibrc of the user says
        yield


def new_figure(picture: Picture, layout: Layout, height: float) -> Figure:
    """Make an empty figure (height in inches) with its title, without pyplot and its global state."""
    figure = Figure(figsize=(layout.width, height))
    figure.suptitle(layout.wrap(picture.title, share=0.65), fontweight="bold")
    return figure


def draw_note(picture: Picture, layout: Layout = TWO_COLUMNS) -> Figure:
    """Write why a figure is not drawn in its place."""
    with style(layout):
        figure = new_figure(picture, layout, 1.2)
        axes = figure.subplots()
        axes.set_axis_off()
        note = "\n".join(textwrap.wrap(picture.text, layout.title_width * 3 // 4))
        axes.text(0.5, 0.5, note, ha="center", va="center", transform=axes.transAxes)
    return figure


def legend(figure: Figure, handles: Mapping[str, Artist], columns: int) -> None:
    """Put one legend under all axes, in as few rows as `columns` allow, all of the same length."""
    if handles:
        rows = -(-len(handles) // columns)
        columns = -(-len(handles) // rows)
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns)


def handles_of(axes: Iterable[Axes]) -> dict[str, Artist]:
    """Collect the labelled artists of several axes, each label once."""
    handles: dict[str, Artist] = {}
    for one in axes:
        found, labels = one.get_legend_handles_labels()
        handles |= {name: handle for name, handle in zip(labels, found, strict=True) if name not in handles}
    return handles


def save(figure: Figure, folder: Path, name: str, formats: Iterable[str] = FORMATS) -> list[Path]:
    """Write one figure in each format, atomically and without dates; return the files."""
    paths = []
    with style():
        # Laid out once, and so in every format alike.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for suffix in formats:
            content = io.BytesIO()
            figure.savefig(content, format=suffix, metadata=METADATA[suffix])
            paths.append(folder / f"{name}.{suffix}")
            write_atomically(paths[-1], content.getvalue())
    return paths

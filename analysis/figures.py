"""Draw the paper's figures from a results table: TFLOPS, memory and ablation over the layers, beside the authors' log.

    python -m analysis.figures --table results/cpu --output results/cpu/figures
    python -m analysis.figures --table FOLDER --output FOLDER --figure tflops --format svg

Each figure is written as NAME.pdf, NAME.svg and NAME.png; a second run writes the same bytes. The plotting computes
nothing: `analysis.frames` prepares the tidy frames that come in, and what goes out are the artists. A bar that has no
number is a hatched mark with the reason over it.
"""

import argparse
import io
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import matplotlib.style
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from analysis.cli import run
from analysis.files import write_atomically
from analysis.frames import FigureFrames, Panel, ablation, memory, tflops
from analysis.series import label
from analysis.table import read

FIGURES = {"tflops": tflops, "memory": memory, "ablation": ablation}
FORMATS = ("pdf", "svg", "png")
STYLE = Path(__file__).parent / "paper.mplstyle"
# No dates and no version numbers in the files: the same table gives the same bytes.
METADATA: dict[str, dict[str, str | None]] = {
    "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}
# Places in seaborn's colour-blind palette, chosen so that neighbouring bars also differ in grey. im2win is blue.
COLORS = {
    "im2col_cublas": 9,
    "cudnn_best": 8,
    "im2win": 0,
    "direct": 2,
    "im2win_without_prefetch": 9,
    "im2win_without_vectorized_load": 8,
    "im2win_without_micro_kernel": 3,
    "cpu_im2col": 9,
    "cpu_torch": 8,
    "cpu_im2win": 0,
    "cpu_direct": 2,
    "cpu_fft": 6,
}
GROUP_WIDTH = 0.84
MARK_HEIGHT = 0.05
HATCH = "//////"


def draw(frames: FigureFrames) -> Figure:
    """Draw one figure, a panel above the other."""
    with mpl.style.context(STYLE):
        # One figure height for one panel, another for two, so that the axes are equally high.
        height = 2.7 if len(frames.panels) == 1 else mpl.rcParams["figure.figsize"][1]
        figure = Figure(figsize=(mpl.rcParams["figure.figsize"][0], height))  # not pyplot's: no backend, no state
        grid = figure.subplots(len(frames.panels), 1, squeeze=False)
        figure.suptitle(frames.title, fontweight="bold")
        for axes, panel in zip(grid[:, 0], frames.panels, strict=True):
            draw_bars(axes, panel)
        _legend(figure, frames.panels)
    return figure


def draw_bars(axes: Axes, panel: Panel) -> None:
    """Draw grouped bars, a group per layer and a bar per algorithm, in the frame's order."""
    axes.set_title(panel.title)
    axes.set_ylabel(panel.axis)
    if panel.frame.empty:
        axes.text(0.5, 0.5, panel.note, ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    palette = sns.color_palette("colorblind")
    layers = list(dict.fromkeys(panel.frame["layer"]))
    algorithms = list(dict.fromkeys(panel.frame["algorithm"]))
    place = {layer: index for index, layer in enumerate(layers)}
    width = GROUP_WIDTH / len(algorithms)
    for index, algorithm in enumerate(algorithms):
        rows = panel.frame[panel.frame["algorithm"] == algorithm]
        x = rows["layer"].map(place).to_numpy(float) + (index - (len(algorithms) - 1) / 2) * width
        shown = rows["value"].notna().to_numpy()
        color = palette[COLORS[algorithm]]
        axes.bar(x[shown], rows["value"][shown], width, color=color, edgecolor="black", label=label(algorithm))
        _mark_missing(axes, x[~shown], width, rows[~shown], algorithm)
    axes.set_xticks(range(len(layers)), layers)
    axes.set_xlim(-0.6, len(layers) - 0.4)
    axes.set_ylim(bottom=0)


def _mark_missing(axes: Axes, x: Iterable[float], width: float, rows: pd.DataFrame, algorithm: str) -> None:
    """Put a hatched mark of fixed height on the axis (in parts of it, not in data units) and the status above."""
    transform = axes.get_xaxis_transform()
    marks = axes.bar(list(x), MARK_HEIGHT, width, facecolor="white", edgecolor="0.35", hatch=HATCH, transform=transform)
    marks.set_label(f"_missing {algorithm}")
    for place, status in zip(x, rows["status"], strict=True):
        text = f"n/a: {str(status).replace('_', ' ')}"
        written = axes.text(place, MARK_HEIGHT + 0.015, text, transform=transform, ha="center", va="bottom")
        written.set(rotation=90, fontsize=4.5, color="0.25")


def _legend(figure: Figure, panels: tuple[Panel, ...]) -> None:
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        found, labels = axes.get_legend_handles_labels()
        handles |= {name: handle for name, handle in zip(labels, found, strict=True) if name not in handles}
    if any(panel.frame["value"].isna().any() for panel in panels):
        handles["no number"] = Patch(facecolor="white", edgecolor="0.35", hatch=HATCH)
    if handles:
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=len(handles))


def save(figure: Figure, folder: Path, name: str, formats: Iterable[str] = FORMATS) -> list[Path]:
    """Write one figure in each format, atomically and without dates; return the files."""
    paths = []
    with mpl.style.context(STYLE):
        for suffix in formats:
            content = io.BytesIO()
            figure.savefig(content, format=suffix, metadata=METADATA[suffix])
            paths.append(folder / f"{name}.{suffix}")
            write_atomically(paths[-1], content.getvalue())
    return paths


def main() -> None:
    """Draw the figures of one table."""
    parser = argparse.ArgumentParser(prog="python -m analysis.figures", description="Draw the paper's figures.")
    parser.add_argument("--table", type=Path, required=True, help="folder with measurements.csv")
    parser.add_argument("--output", type=Path, required=True, help="folder for the figures")
    parser.add_argument("--figure", choices=sorted(FIGURES), action="append", help="only this one; may be repeated")
    parser.add_argument("--format", choices=FORMATS, action="append", help="only this one; may be repeated")
    arguments = parser.parse_args()
    archive = read(arguments.table)
    for name in arguments.figure or FIGURES:
        figure = draw(FIGURES[name](archive))
        save(figure, arguments.output, name, arguments.format or FORMATS)


if __name__ == "__main__":
    run(main)

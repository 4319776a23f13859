"""Draw the figures of a results table: the paper's, beside the authors' log, and those that the paper lacks.

    python -m analysis.figures --table results/cpu --output results/cpu/figures
    python -m analysis.figures --table FOLDER --output FOLDER --figure tflops --format svg

Suites that are networks (networks.csv) have two figures of their own, and whole networks (models.csv) one; all others
are of the other suites.

Each figure is written as NAME.pdf, NAME.svg and NAME.png, the paper's also one column wide in the folder one_column,
and the overview also as overview_dark, for dark pages.
One that a table has no data for holds a line that says so. `captions.json` has a caption for each, with numbers from
the table. A second run writes the same bytes. The charts compute nothing: `analysis.frames` prepares tidy frames, and
what goes out are the artists.
"""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure

from analysis.charts import bars, growth, heatmap, points
from analysis.charts import networks as network_charts
from analysis.charts import overview as overview_chart
from analysis.charts.style import FORMATS, FRONT, ONE_COLUMN, TWO_COLUMNS, Layout, draw_note, save
from analysis.frames import cost, models, networks, paper, speed
from analysis.frames import growth as errors
from analysis.frames.captions import CAPTIONS, captions_json
from analysis.frames.common import Picture
from analysis.numbers.networks import without_networks
from analysis.table.archive import Archive, read
from analysis.table.cli import run
from analysis.table.files import write_atomically

NARROW = "one_column"


@dataclass(frozen=True)
class Drawing:
    """What prepares a figure, and what draws it.

    `one_column` is whether it is drawn one column wide too, `of_networks` whether it shows networks instead of layers,
    `front` whether it is for the top of a page, and drawn for light and for dark ones.
    """

    prepare: Callable[[Archive], Picture]
    chart: Callable[[Picture, Layout], Figure]
    one_column: bool = False
    of_networks: bool = False
    front: bool = False

    def layouts(self, name: str) -> dict[str, Layout]:
        """Give the layouts by the file that each makes (below the figures' folder, without suffix), the usual first."""
        if self.front:
            return {name: FRONT, f"{name}_dark": replace(FRONT, dark=True)}
        return {name: TWO_COLUMNS} | ({f"{NARROW}/{name}": ONE_COLUMN} if self.one_column else {})


# In the order of a report.
FIGURES = {
    "overview": Drawing(speed.overview, overview_chart.draw, front=True),
    "tflops": Drawing(paper.tflops, bars.grouped, one_column=True),
    "memory": Drawing(paper.memory, bars.grouped, one_column=True),
    "ablation": Drawing(paper.ablation, bars.grouped, one_column=True),
    "speedup": Drawing(speed.speedup, heatmap.draw),
    "time": Drawing(speed.times, points.intervals),
    "transform": Drawing(speed.transform, bars.shares),
    "memory_speed": Drawing(cost.memory_speed, points.scatter),
    "accuracy": Drawing(cost.accuracy, points.scatter),
    "error_growth": Drawing(errors.error_growth, growth.draw),
    "roofline": Drawing(cost.roofline, points.roofline),
    "batch": Drawing(speed.batches, points.lines),
    "networks": Drawing(networks.overview, network_charts.speedups, of_networks=True),
    "network_time": Drawing(networks.time, network_charts.stacks, of_networks=True),
    "models": Drawing(models.overview, network_charts.models, of_networks=True),
}


def prepare(archive: Archive, wanted: Iterable[str] = tuple(FIGURES)) -> dict[str, Picture]:
    """Prepare some of FIGURES; networks are left out of all figures but their own."""
    layers, pictures = without_networks(archive), {}
    for name in wanted:
        if FIGURES[name].of_networks:
            pictures[name] = FIGURES[name].prepare(archive)
        elif layers.measurements.empty:
            pictures[name] = Picture(f"{name} on {archive.device_name}", note="this table holds networks alone")
        else:
            pictures[name] = FIGURES[name].prepare(layers)
    return pictures


def draw(name: str, picture: Picture, layout: Layout | None = None) -> Figure:
    """Draw one of FIGURES, in its usual layout if none is given, or why there is nothing to see."""
    layout = layout or FIGURES[name].layouts(name)[name]
    return draw_note(picture, layout) if picture.note else FIGURES[name].chart(picture, layout)


def main() -> None:
    """Draw the figures of one table."""
    parser = argparse.ArgumentParser(prog="python -m analysis.figures", description="Draw the figures of one table.")
    parser.add_argument("--table", type=Path, required=True, help="folder with measurements.csv")
    parser.add_argument("--output", type=Path, required=True, help="folder for the figures")
    parser.add_argument("--figure", choices=sorted(FIGURES), action="append", help="only this one; may be repeated")
    parser.add_argument("--format", choices=FORMATS, action="append", help="only this one; may be repeated")
    arguments = parser.parse_args()
    archive = read(arguments.table)
    pictures = prepare(archive)
    for name in arguments.figure or FIGURES:
        for file, layout in FIGURES[name].layouts(name).items():
            path = arguments.output / file
            save(draw(name, pictures[name], layout), path.parent, path.name, arguments.format or FORMATS)
    write_atomically(arguments.output / CAPTIONS, captions_json(pictures))


if __name__ == "__main__":
    run(main)

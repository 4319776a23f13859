"""Set several results tables side by side: speed, speedup and a table, for example of two GPUs.

    python -m analysis.compare --table analysis/archive/A --table analysis/archive/B --output FOLDER

writes FOLDER/figures/tflops and speedup in every format, with captions.json, and FOLDER/tables/comparison as CSV,
Markdown and LaTeX.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from analysis.charts import bars
from analysis.charts.style import FORMATS, draw_note, save
from analysis.cli import run
from analysis.figures import CAPTIONS, captions
from analysis.files import write_atomically
from analysis.frames import devices
from analysis.frames.common import Picture
from analysis.table import Archive, read
from analysis.text import names

FIGURES: dict[str, Callable[[Sequence[Archive]], Picture]] = {"tflops": devices.tflops, "speedup": devices.speedup}


def main() -> None:
    """Compare two tables or more."""
    parser = argparse.ArgumentParser(prog="python -m analysis.compare", description="Set tables side by side.")
    parser.add_argument("--table", type=Path, required=True, action="append", help="folder with measurements.csv")
    parser.add_argument("--output", type=Path, required=True, help="folder for figures and tables")
    parser.add_argument("--format", choices=FORMATS, action="append", help="only this one; may be repeated")
    arguments = parser.parse_args()
    if len(arguments.table) < 2:
        parser.error("give --table at least twice")
    archives = [read(folder) for folder in arguments.table]
    pictures = {name: prepare(archives) for name, prepare in FIGURES.items()}
    for name, picture in pictures.items():
        figure = draw_note(picture) if picture.note else bars.by_device(picture)
        save(figure, arguments.output / "figures", name, arguments.format or FORMATS)
    write_atomically(arguments.output / "figures" / CAPTIONS, captions(pictures))
    table = devices.comparison(archives)
    where = names(devices.device_names(archives))
    path = arguments.output / "tables" / "comparison"
    write_atomically(path.with_suffix(".csv"), table.csv())
    write_atomically(path.with_suffix(".md"), f"# {table.title}: {where}\n\n{table.markdown}")
    write_atomically(path.with_suffix(".tex"), table.latex("comparison", where))


if __name__ == "__main__":
    run(main)

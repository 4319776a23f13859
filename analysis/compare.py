"""Compare results tables: two runs on one kind of machine, or machines with each other.

    python -m analysis.compare A B [C ...] [--output FOLDER] [--require-agreement]

Each is a folder with measurements.csv, or the name of one in analysis/archive. Compares the first one with each of the
others and prints how many points are faster, slower or ambiguous, and how many agree within 2 %. With --output it
writes FOLDER/report.md and report.html, the figures tflops and speedup in every format with captions.json, and the
tables `comparison` (CSV, Markdown, LaTeX), `claims` and `points` (CSV, Markdown).

Exit status: 0, compared; 1, with --require-agreement, fewer than 95 % of the medians agree within 2 %; 2, a table
cannot be read or a file cannot be written.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from analysis.charts import bars
from analysis.charts.style import FORMATS, draw_note, save
from analysis.frames import devices, machines, pairs
from analysis.frames.captions import CAPTIONS, captions_json
from analysis.frames.common import Picture
from analysis.frames.inventory import machine
from analysis.numbers.networks import without_networks
from analysis.prose.claims import MARKS
from analysis.table.archive import Archive, read
from analysis.table.cli import find, run
from analysis.table.files import write_atomically
from analysis.writing import html
from analysis.writing.markup import Section
from analysis.writing.phrases import names

FIGURES: dict[str, Callable[[Sequence[Archive]], Picture]] = {"tflops": devices.tflops, "speedup": devices.speedup}


def write(archives: Sequence[Archive], compared: Sequence[pd.DataFrame], output: Path, formats: Sequence[str]) -> None:
    """Write the report, figures and tables of a comparison below `output`; `compared` has the points of each pair."""
    layers = [without_networks(archive) for archive in archives]
    pictures = {name: prepare(layers) for name, prepare in FIGURES.items()}
    for name, picture in pictures.items():
        figure = draw_note(picture) if picture.note else bars.by_device(picture)
        save(figure, output / "figures", name, formats)
    write_atomically(output / "figures" / CAPTIONS, captions_json(pictures))
    side_by_side, points = devices.comparison(layers), pairs.table(archives, compared)
    claims = machines.claims(layers)
    where = names(devices.device_names(archives))
    folder = output / "tables"
    for name, table in (("comparison", side_by_side), ("claims", claims), ("points", points)):
        write_atomically(folder / f"{name}.csv", table.csv())
        write_atomically(folder / f"{name}.md", f"# {table.title}: {where}\n\n{table.markdown}")
    write_atomically(folder / "comparison.tex", side_by_side.latex("comparison", where))
    drawn = [
        f"![{name}](figures/{name}.svg)\n\n*{picture.text}* ([PDF](figures/{name}.pdf))\n"
        for name, picture in pictures.items()
    ]
    sections = [
        Section("points", points.title, f"([CSV](tables/points.csv))\n\n{points.markdown}"),
        Section("claims", claims.title, f"([CSV](tables/claims.csv))\n\n{claims.markdown}"),
        Section("figures", "Figures", "\n".join(drawn)),
        Section("speeds", side_by_side.title, f"([CSV](tables/comparison.csv))\n\n{side_by_side.markdown}"),
        *(
            Section(f"machine-{index}", f"Machine and software: {name}", machine(archive).markdown)
            for index, (name, archive) in enumerate(zip(devices.device_names(archives), archives, strict=True))
        ),
    ]
    title = f"{where} compared"
    text = "\n".join([f"# {title}\n", *(f"## {one.title}\n\n{one.markdown}" for one in sections)])
    write_atomically(output / "report.md", text)
    write_atomically(output / "report.html", html.render(title, sections, output, MARKS))


def main() -> None:
    """Compare two tables or more."""
    parser = argparse.ArgumentParser(prog="python -m analysis.compare", description="Compare results tables.")
    parser.add_argument(
        "tables", nargs="+", metavar="TABLE", help="a folder with measurements.csv, or an archive's name"
    )
    parser.add_argument("--output", type=Path, help="folder for figures, tables and the report; none if left out")
    parser.add_argument("--format", choices=FORMATS, action="append", help="only this one; may be repeated")
    parser.add_argument(
        "--require-agreement", action="store_true", help="exit with 1 unless the runs repeat each other"
    )
    arguments = parser.parse_args()
    if len(arguments.tables) < 2:
        parser.error("give two tables at least")
    archives = [read(find(name)) for name in arguments.tables]
    compared = [pairs.compare_points(archives[0], second) for second in archives[1:]]
    if arguments.output:
        write(archives, compared, arguments.output, arguments.format or FORMATS)
    called = devices.device_names(archives)
    repeated = True
    for second, name, points in zip(archives[1:], called[1:], compared, strict=True):
        said = pairs.findings(points, (archives[0], second), called[0], name)
        print("\n".join([f"{name} against {called[0]}:", *said]).replace("**", ""))
        repeated = repeated and pairs.is_repeated(points)
    if arguments.require_agreement and not repeated:
        sys.exit(1)


if __name__ == "__main__":
    run(main)

"""Write the report of one results table, the claims first, as Markdown and as one self-contained HTML file.

    python -m analysis.report --table FOLDER --sources results/sources.json --figures FOLDER --tables FOLDER \\
        --claims FOLDER/claims.csv --output FOLDER/report.md [--html FOLDER/report.html]

`--sources` holds the hashes of today's sources: numbers that are older get a dagger. Figures and tables are linked by
paths relative to the report.
"""

import argparse
import os
from pathlib import Path

import pandas as pd

from analysis.frames import gpus, grids, inventory, models, network_tables
from analysis.frames.captions import read_captions
from analysis.numbers.algorithms import ablations
from analysis.numbers.judged import read_claims
from analysis.numbers.networks import without_networks
from analysis.numbers.staleness import Staleness, compare, read_sources, stale_models
from analysis.prose import claims, guide, method, networks
from analysis.prose import models as of_models
from analysis.prose.findings import about_the_paper, findings, measured, stale_sentences
from analysis.table.archive import Archive, read
from analysis.table.cli import run
from analysis.table.files import write_atomically
from analysis.writing import html
from analysis.writing.markup import Section
from analysis.writing.tables import Table

#: The figure of the first screen.
FRONT = "overview"
NO_CLAIMS = "This table holds none of the paper's layers.\n"
NO_OVERVIEW = "There is nothing to compare the kernels with: their baseline has no number.\n"


def compose(
    archive: Archive,
    staleness: Staleness,
    judged: pd.DataFrame,
    figures: Path,
    table_folder: Path,
    output: Path,
    older_models: frozenset[tuple[object, ...]] = frozenset(),
) -> list[Section]:
    """Compose the report, the claims first; `figures` and `table_folder` are linked relative to `output`.

    `older_models` are the rows of whole networks (MODEL_KEY values) whose sources have changed since.
    """

    def link(path: Path) -> str:
        return Path(os.path.relpath(path, output.parent)).as_posix()

    def linked(name: str, table: Table) -> str:
        return f"([CSV]({link(table_folder / f'{name}.csv')}))\n\n{table.markdown}"

    layers, of_networks = without_networks(archive), network_tables.build(archive, staleness.marked)
    built = grids.build(layers, staleness.marked) | {"layers": inventory.layers(layers)}
    built["network_layers"] = of_networks["network_layers"]
    parts = [f"### {table.title}\n\n{linked(name, table)}" for name, table in built.items()]
    whole = f"{_list(networks.findings(archive))}\n{linked('networks', of_networks['networks'])}".lstrip("\n")
    older = [f"{sentence}\n" for sentence in stale_sentences(staleness)]
    captions = read_captions(figures)
    front = captions.pop(FRONT, "")
    glance = f"![{FRONT}]({link(figures / f'{FRONT}.svg')})\n\n*{front}*\n" if front else NO_OVERVIEW
    drawn = [
        f"![{name}]({link(figures / f'{name}.svg')})\n\n*{caption}* ([PDF]({link(figures / f'{name}.pdf')}))\n"
        for name, caption in captions.items()
        # Without ablated variants the figure only says that there is nothing to draw.
        if name != "ablation" or layers.measurements["algorithm"].isin(ablations()).any()
    ]
    timed = of_models.findings(archive)
    forward = f"{_list(timed)}\n{linked('models', models.build(archive, older_models))}" if timed else ""
    which, against = guide.body(archive), _against(layers)
    of_gpus = [table for table in (gpus.compare_gpus(archive), gpus.use_of_gpus(archive)) if table]
    about_gpus = "\n".join(f"### {table.title}\n\n{table.markdown}" for table in of_gpus)
    return [
        Section("claims", "Claims of the paper", _claims(layers, judged), folded=True, opened=False),
        Section("overview", "At a glance", glance),
        Section("findings", "Findings", "\n".join([_list(findings(layers, judged)), *older])),
        Section("networks", network_tables.TITLES["networks"], whole),
        *([Section("models", models.TITLE, forward)] if timed else []),
        Section("guide", guide.TITLE, which, folded=which.count("\n### ") > 1),
        Section("against", against.title, against.markdown),
        Section("figures", "Figures", "\n".join(drawn)),
        Section("claims-layers", "Claims, layer by layer", claims.to_markdown(judged), folded=True),
        Section("tables", "Tables", "\n".join(parts), folded=True),
        Section("not-ok", "Rows that are not ok", inventory.outcome(archive).markdown),
        Section("method", "Method", method.method(archive)),
        Section("paper", "About the paper's own data", _list(about_the_paper())),
        Section("machine", "Machine and software", method.machine(archive)),
        *([Section("gpus", "GPUs", about_gpus)] if of_gpus else []),
        Section("provenance", "Provenance", method.provenance(archive, staleness)),
    ]


def _claims(layers: Archive, judged: pd.DataFrame) -> str:
    """Say what was measured, then claim by claim, then how a verdict is reached."""
    shown = claims.rows(judged, layers)
    how = f"### How a verdict is reached\n\n{claims.in_short()}\n\n{claims.rule()}"
    return f"{measured(layers)}\n\n" + (f"{shown}\n{how}" if shown else NO_CLAIMS)


def _against(layers: Archive) -> Table:
    if layers.measurements.empty:
        return Table("Every algorithm", pd.DataFrame(), closing="This table holds networks alone.")
    return grids.against_best(layers)


def write_report(title: str, sections: list[Section]) -> str:
    """Write the sections as one Markdown file."""
    return "\n".join([f"# {title}\n", *(f"## {one.title}\n\n{one.markdown}" for one in sections)])


def _list(sentences: list[str]) -> str:
    return "".join(f"* {sentence}\n" for sentence in sentences)


def main() -> None:
    """Write the report of one table."""
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description="Write the report of one table.")
    parser.add_argument("--table", type=Path, required=True, help="folder with measurements.csv")
    parser.add_argument("--sources", type=Path, required=True, help="JSON with the hashes of today's sources")
    parser.add_argument("--figures", type=Path, required=True, help="folder of the figures")
    parser.add_argument("--tables", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--claims", type=Path, required=True, help="claims.csv of this table")
    parser.add_argument("--output", type=Path, required=True, help="the report, a Markdown file")
    parser.add_argument("--html", type=Path, help="the report as one self-contained HTML file; none if not given")
    arguments = parser.parse_args()
    archive = read(arguments.table)
    sources = read_sources(arguments.sources)
    staleness, older = compare(archive, sources), stale_models(archive, sources)
    judged = read_claims(arguments.claims)
    sections = compose(archive, staleness, judged, arguments.figures, arguments.tables, arguments.output, older)
    title = f"im2win on {archive.device_name}"
    write_atomically(arguments.output, write_report(title, sections))
    if arguments.html:
        content = html.render(title, sections, arguments.output.parent, claims.MARKS)
        write_atomically(arguments.html, content)


if __name__ == "__main__":
    run(main)

"""Write the report of one results table: findings, claims, figures, tables, what was not ok, machine and software.

    python -m analysis.report --table FOLDER --sources results/sources.json --figures FOLDER --tables FOLDER \\
        --claims FOLDER/claims.csv --output FOLDER/report.md

`--sources` holds the hashes of today's sources: numbers that are older get a dagger. Figures and tables are linked by
paths relative to the report.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import claims, tables, verdicts
from analysis.cli import run
from analysis.files import write_atomically
from analysis.findings import about_the_paper, findings
from analysis.series import ABLATED, label
from analysis.staleness import Staleness, compare, read_sources
from analysis.table import Archive, ArchiveError, read
from analysis.text import markdown_table, names, plural

FIGURES = {
    "tflops": "Speed per layer, counting the FLOPs of the direct convolution for every algorithm.",
    "memory": "Memory per layer.",
    "ablation": "What each optimization of im2win is worth: the speed without it.",
}


def write_report(
    archive: Archive, staleness: Staleness, judged: pd.DataFrame, figures: Path, table_folder: Path, output: Path
) -> str:
    """Compose the report as Markdown; `figures` and `table_folder` are linked relative to `output`."""

    def link(path: Path) -> str:
        return Path(os.path.relpath(path, output.parent)).as_posix()

    parts = [f"# im2win on {archive.device_name}\n", "## Findings\n"]
    parts.append(_list(findings(archive, judged) + _stale_sentences(staleness)))
    parts += ["## Claims of the paper\n", claims.rule(), claims.to_markdown(judged)]
    parts.append("## Figures\n")
    for name, caption in FIGURES.items():
        if name == "ablation" and not archive.measurements["algorithm"].isin(ABLATED).any():
            continue  # such a figure only says that there is nothing to draw
        pdf = link(figures / f"{name}.pdf")
        parts.append(f"![{caption}]({link(figures / f'{name}.svg')})\n\n*{caption}* ([PDF]({pdf}))\n")
    parts.append("## Tables\n")
    built = tables.build(archive, staleness.keys)
    for name, table in built.items():
        if name != "outcome":
            parts.append(f"### {table.title}\n\n([CSV]({link(table_folder / f'{name}.csv')}))\n\n{table.markdown}")
    parts += ["## What was not ok\n", built["outcome"].markdown]
    parts += ["## About the paper's own data\n", _list(about_the_paper())]
    parts += ["## Machine and software\n", _machine(archive)]
    return "\n".join(parts)


def _list(sentences: list[str]) -> str:
    return "".join(f"* {sentence}\n" for sentence in sentences)


def _stale_sentences(staleness: Staleness) -> list[str]:
    said = []
    if staleness.older_kernels:
        whose = names(label(name) for name in staleness.older_kernels)
        said.append(
            f"**Stale:** the sources of {whose} have changed since they were measured; their numbers are marked "
            f"{tables.DAGGER} in the tables below, and figures and claims rest on them."
        )
    if staleness.older_harness:
        said.append(
            f"**Stale:** the measuring program has changed since {staleness.older_harness} of "
            f"{plural(staleness.points, 'point')} were measured; their numbers are marked {tables.DAGGER} too."
        )
    if staleness.unknown:
        whose = names(label(name) for name in staleness.unknown)
        said.append(f"Today's sources do not have {whose}: whether those numbers are current cannot be told.")
    return said


def _machine(archive: Archive) -> str:
    """Tell every environment that the table was measured in; the second and later ones only where they differ."""
    parts: list[str] = []
    first: dict[str, str] = {}
    for index, environment in enumerate(archive.provenance["environments"]):
        flat = _flatten(environment)
        count = sum(point["environment"] == index for point in archive.provenance["points"])
        differing = {key: value for key, value in flat.items() if first.get(key) != value}
        difference = "; what differs from the first" if index else ""
        heading = f"Environment {index + 1}, {plural(count, 'point')}{difference}"
        parts.append(f"{heading}:\n\n{markdown_table(['what', 'value'], differing.items(), texts=(0, 1))}")
        first = first or flat
    return "\n".join(parts) or "The provenance holds no environment.\n"


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            listed = isinstance(value, list)
            flat[f"{prefix}{key}"] = ", ".join(str(item) for item in value) if listed else str(value)
    return flat


def read_claims(path: Path) -> pd.DataFrame:
    """Read a claims.csv that `analysis.claims` wrote. Raises ArchiveError."""
    way_out = "delete it and run snakemake, which judges the claims again"
    try:
        judged = pd.read_csv(path, keep_default_na=True)
    except FileNotFoundError:
        raise ArchiveError(path, "the file of the judged claims is missing", "run snakemake, which writes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ArchiveError(path, f"not CSV ({error})", way_out) from None
    if list(judged.columns) != list(verdicts.COLUMNS):
        raise ArchiveError(path, f"columns must be {', '.join(verdicts.COLUMNS)}", way_out)
    texts = [column for column in verdicts.COLUMNS if column not in verdicts.NUMBERS]
    return judged.astype({column: object for column in texts}).fillna({column: "" for column in texts})


def main() -> None:
    """Write the report of one table."""
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description="Write the report of one table.")
    parser.add_argument("--table", type=Path, required=True, help="folder with measurements.csv")
    parser.add_argument("--sources", type=Path, required=True, help="JSON with the hashes of today's sources")
    parser.add_argument("--figures", type=Path, required=True, help="folder of the figures")
    parser.add_argument("--tables", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--claims", type=Path, required=True, help="claims.csv of this table")
    parser.add_argument("--output", type=Path, required=True, help="the report, a Markdown file")
    arguments = parser.parse_args()
    archive = read(arguments.table)
    staleness = compare(archive, read_sources(arguments.sources))
    judged = read_claims(arguments.claims)
    report = write_report(archive, staleness, judged, arguments.figures, arguments.tables, arguments.output)
    write_atomically(arguments.output, report)


if __name__ == "__main__":
    run(main)

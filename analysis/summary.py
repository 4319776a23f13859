"""Prints what came of a run: speeds, verdicts, where the reports are, and every point that is not as it should be.

    python -m analysis.summary --results results NAME=FOLDER ...

NAME is a folder below the results, FOLDER that of its results table; archives have names that begin with `archive/`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from analysis.claims import read_claims
from analysis.frames.common import COMPARED, CPU_COMPARED
from analysis.numbers.series import label, layer_order, pick, rows_of, speed_unit, with_best_cudnn
from analysis.numbers.verdicts import NOT_TESTABLE, VERDICTS, headline
from analysis.table.archive import POINT_KEY, Archive, ArchiveError, read
from analysis.writing.phrases import SHORT, number, plural, quantity

#: Outcomes that someone should look at; `unsupported` is an answer.
TO_LOOK_AT = ("failed", "incorrect", "out_of_memory")


def describe(archive: Archive, judged: pd.DataFrame, folder: Path) -> Iterator[str]:
    """The lines on one results table whose figures and report are in `folder`."""
    selection = pick(archive.measurements)
    assert selection is not None, "a table that was read has rows"
    rows = with_best_cudnn(rows_of(archive.measurements, selection))
    unit, factor = speed_unit(archive.device_kind)
    yield f"{archive.device_name}: {unit}, {selection}"
    yield from speed_table(rows, CPU_COMPARED if archive.device_kind == "cpu" else COMPARED, factor)
    yield ""
    yield from verdicts(headline(judged, archive))
    yield ""
    yield from outcomes(archive)
    yield f"report: {folder}/report.html   figures: {folder}/figures/"


def verdicts(claims: pd.DataFrame) -> Iterator[str]:
    """A line for each claim; one for all of them where none can be tested."""
    if set(claims["verdict"]) == {NOT_TESTABLE}:
        yield f"claims of the paper: {NOT_TESTABLE} ({'; '.join(dict.fromkeys(claims['reason']))})"
        return
    width = max((len(verdict) for verdict in claims["verdict"]), default=0)
    for _, claim in claims.iterrows():
        measured = "" if pd.isna(claim["measured"]) else f": {quantity(claim['measured'], claim['unit'])}"
        yield f"  {claim['verdict']:<{width}}  {claim['statement']}{measured}"


def speed_table(rows: pd.DataFrame, algorithms: Sequence[str], factor: float) -> Iterator[str]:
    """Lines of speeds, a layer each; in place of a number what became of it."""
    there = [name for name in algorithms if name in set(rows["algorithm"])]
    cells = {(row["layer"], row["algorithm"]): _cell(row, factor) for _, row in rows.iterrows()}
    widths = [max(len(label(name)), 7) for name in there]
    yield "  ".join(["layer".ljust(14), *(label(name).rjust(width) for name, width in zip(there, widths, strict=True))])
    for layer in layer_order(rows["layer"]):
        shown = [cells.get((layer, name), "-").rjust(width) for name, width in zip(there, widths, strict=True)]
        yield "  ".join([layer.ljust(14), *shown])


def _cell(row: pd.Series, factor: float) -> str:
    return number(row["tflops"] * factor) if row["status"] == "ok" else SHORT[row["status"]]


def outcomes(archive: Archive) -> Iterator[str]:
    """How many points had each outcome, and those to look at with their reasons and logs."""
    points = archive.measurements.drop_duplicates(list(POINT_KEY))
    counts = points["status"].value_counts()
    yield "points: " + ", ".join(f"{count} {str(status).replace('_', ' ')}" for status, count in counts.items())
    provenance = archive.points()
    for _, row in points[points["status"].isin(TO_LOOK_AT)].iterrows():
        run = provenance.get(tuple(row[column] for column in POINT_KEY), {}).get("run") or {}
        name = f"{row['suite']}/{row['numerics']}/batch{row['batch']}/{row['layer']}/{row['algorithm']}"
        yield f"  {row['status'].replace('_', ' ')}: {name}: {row['reason'] or 'no reason was recorded'}"
        yield f"    log: {run.get('log', 'none')}"
    if (points["status"] == "failed").any():
        yield "  failed points are measured again by the next run"


def briefly(archive: Archive, judged: pd.DataFrame, folder: Path) -> str:
    """One line on a results table."""
    counts = headline(judged, archive)["verdict"].value_counts()
    each = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if verdict in counts)
    claims = plural(int(counts.sum()), "claim")
    return f"{archive.device_name}, archived: {claims}, {each}; report: {folder}/report.html"


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m analysis.summary", description="Print what came of a run.")
    parser.add_argument("--results", required=True, type=Path, help="the folder of all results")
    parser.add_argument("tables", nargs="*", metavar="NAME=FOLDER", help="a results table and its name")
    options = parser.parse_args(arguments)
    tables = dict(entry.split("=", 1) for entry in options.tables)
    only_archives = all(name.startswith("archive/") for name in tables)
    try:
        for name, folder in tables.items():
            archive, own = read(folder), options.results / name
            judged = read_claims(own / "claims.csv")
            if name.startswith("archive/") and not only_archives:
                print(briefly(archive, judged, own))
            else:
                print("\n".join(["", *describe(archive, judged, own)]))
    except ArchiveError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

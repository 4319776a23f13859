"""The lines printed at the end of a run: speeds, verdicts, outcomes, and where the report is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from analysis.numbers.algorithms import label, shown
from analysis.numbers.judged import headline_claims
from analysis.numbers.networks import without_networks
from analysis.numbers.series import headline, layer_order, speed_unit, with_accurate
from analysis.numbers.verdicts import NOT_TESTABLE, VERDICTS
from analysis.prose import models, networks
from analysis.table.archive import Archive
from analysis.table.companions import read_models
from analysis.table.schema import OTHER_LOAD, POINT_KEY
from analysis.writing.phrases import SHORT, names, number, plural, quantity

#: Outcomes that need attention; `unsupported` is a valid result.
TO_LOOK_AT = ("failed", "incorrect", "out_of_memory")


def describe(archive: Archive, judged: pd.DataFrame, folder: Path) -> Iterator[str]:
    """Summarize one results table, whose figures and report are in `folder`."""
    layers = without_networks(archive)
    if layers.measurements.empty:
        yield f"{archive.device_name}: networks alone"
    else:
        selection, rows = headline(layers)
        rows = with_accurate(layers, selection, rows)
        unit, factor = speed_unit(archive.device_kind)
        yield f"{archive.device_name}: {unit}, {selection}"
        yield from speed_table(rows, shown(archive.device_kind, rows["algorithm"]), factor)
        yield ""
        yield from verdicts(headline_claims(judged, layers))
    yield ""
    if of_networks := networks.findings(archive):
        yield from of_networks[:-1]  # the outcomes follow, of all points
        yield ""
    if of_models := models.findings(archive):
        yield from of_models
        yield from _not_timed(archive)
        yield ""
    yield from outcomes(archive)
    yield f"report: {folder}/report.html   figures: {folder}/figures/"


def verdicts(claims: pd.DataFrame) -> Iterator[str]:
    """Write a line for each claim; one for all of them if none is testable."""
    if set(claims["verdict"]) == {NOT_TESTABLE}:
        yield f"claims of the paper: {NOT_TESTABLE} ({'; '.join(dict.fromkeys(claims['reason']))})"
        return
    width = max((len(verdict) for verdict in claims["verdict"]), default=0)
    for _, claim in claims.iterrows():
        measured = "" if pd.isna(claim["measured"]) else f": {quantity(claim['measured'], claim['unit'])}"
        yield f"  {claim['verdict']:<{width}}  {claim['statement']}{measured}"


def speed_table(rows: pd.DataFrame, algorithms: Sequence[str], factor: float) -> Iterator[str]:
    """Write a line of speeds for each layer, with the status in place of a number that there is not."""
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
    """Count the points by outcome, and list those that need attention with their reasons and logs."""
    points = archive.measurements.drop_duplicates(list(POINT_KEY))
    counts = points["status"].value_counts()
    if points.empty:
        return
    yield "points: " + ", ".join(f"{count} {str(status).replace('_', ' ')}" for status, count in counts.items())
    provenance = archive.points()
    for _, row in points[points["status"].isin(TO_LOOK_AT)].iterrows():
        run = provenance.get(tuple(row[column] for column in POINT_KEY), {}).get("run") or {}
        name = f"{row['suite']}/{row['numerics']}/batch{row['batch']}/{row['layer']}/{row['algorithm']}"
        yield f"  {row['status'].replace('_', ' ')}: {name}: {row['reason'] or 'no reason was recorded'}"
        log = run.get("log", "none")
        yield f"    log: {archive.folder / log if (archive.folder / log).exists() else log}"
    if (points["status"] == "failed").any():
        yield "  failed points are measured again by the next run"
    if beside := (archive.measurements["stop_reason"] == OTHER_LOAD).sum():
        yield (
            f"  {plural(beside, 'time was', 'times were')} measured while other programs kept the CPU busy (stop "
            f"reason {OTHER_LOAD}): stop these, delete {archive.folder}/points and give the command again"
        )


def _not_timed(archive: Archive) -> Iterator[str]:
    """List the networks whose rows need attention, with the reasons; a line for each reason of a backend."""
    rows = read_models(archive.folder)
    bad = rows[rows["status"].isin(TO_LOOK_AT)]
    for (model, backend, status, reason), group in bad.groupby(["model", "backend", "status", "reason"], sort=False):
        each = names(f"batch {batch} {mode}" for batch, mode in zip(group["batch"], group["mode"], strict=True))
        yield f"  {str(status).replace('_', ' ')}: {model} with {backend} ({each}): {reason}"
    if (bad["status"] == "failed").any():
        yield "  what failed is timed again by the next run"


def briefly(archive: Archive, judged: pd.DataFrame, folder: Path) -> str:
    """Summarize a results table in one line."""
    counts = headline_claims(judged, without_networks(archive))["verdict"].value_counts()
    each = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if verdict in counts)
    claims = plural(int(counts.sum()), "claim")
    return f"{archive.device_name}, archived: {claims}, {each}; report: {folder}/report.html"

"""Trace a number to its raw samples, configuration, sources and machine.

    python -m analysis.trace ARCHIVE LAYER ALGORITHM [PROTOCOL] [--suite S] [--numerics N] [--batch B] [--experiment E]
    python -m analysis.trace ARCHIVE LAYER ALGORITHM --data DATA
    python -m analysis.trace ARCHIVE [PROTOCOL] --claim CLAIM

ARCHIVE is a folder with measurements.csv, or the name of one in analysis/archive. Every number of a figure, a table or
a sentence is that of an algorithm on a layer of one archive under one protocol, or a mean over layers of ratios of
those: docs/measuring.md says how to read the address off. `cudnn_best` is traced to the algorithm that was the best
there. Where nothing is said, the suite, batch, protocol and numeric class are those that the figures show first; of an
algorithm that is not among those, the first that it has.

With --data it is an error of accuracy.csv, on that kind of data. With --claim it gives a claim's number and lists what
it was made of, layer by layer, with the command for each. Exits 2, naming the choices, where there is no such number.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.compare import find
from analysis.numbers import published
from analysis.numbers.bootstrap import statistic_of
from analysis.numbers.series import (
    ABLATED,
    BEST_CUDNN,
    MIB,
    Selection,
    layer_order,
    memory_metric,
    rows_of,
    selections,
    with_best_cudnn,
)
from analysis.numbers.staleness import against_today, read_sources
from analysis.numbers.verdicts import NOT_TESTABLE, judge_rows
from analysis.table import errors
from analysis.table.archive import KEY, POINT_KEY, SAMPLES, Archive, ArchiveError, read
from analysis.table.cli import run
from analysis.writing.phrases import names, number, quantity

SOURCES = Path("results/sources.json")
#: What of a selection is chosen by an option; its protocol has a place of its own.
OPTIONS = ("experiment", "suite", "batch", "numerics")


def choose(archive: Archive, wanted: Mapping[str, object], algorithm: str = "") -> Selection:
    """The first selection of the table that has what is `wanted`, and `algorithm` if one of them has it.

    Raises ArchiveError, listing those that are there.
    """
    asked_for = {key: value for key, value in wanted.items() if value is not None}
    fitting = [
        one
        for one in selections(archive.measurements)
        if all(getattr(one, key) == value for key, value in asked_for.items())
    ]
    for selection in fitting:
        # The best cuDNN is no row of its own, but the first selection has one.
        if algorithm in set(rows_of(archive.measurements, selection)["algorithm"]):
            return selection
    if fitting:
        return fitting[0]
    there = "; ".join(str(one) for one in selections(archive.measurements))
    asked = ", ".join(f"{key} {value}" for key, value in asked_for.items())
    raise ArchiveError(archive.folder, f"holds nothing with {asked}", f"it has: {there}")


def row_of(archive: Archive, selection: Selection, layer: str, algorithm: str) -> pd.Series:
    """One row of the table, that of the best cuDNN included. Raises ArchiveError, listing what is there."""
    rows = with_best_cudnn(rows_of(archive.measurements, selection))
    for column, value, there in (
        ("layer", layer, layer_order(rows["layer"])),
        ("algorithm", algorithm, sorted(set(rows["algorithm"]))),
    ):
        if value not in there:
            raise ArchiveError(archive.folder, f"has no {column} {value} ({selection})", f"it has: {names(there)}")
    found = rows[(rows["layer"] == layer) & (rows["algorithm"] == algorithm)]
    if found.empty:
        raise ArchiveError(archive.folder, f"has no row of {algorithm} on {layer}", "it was not measured there")
    return found.iloc[0]


def trace(archive: Archive, row: pd.Series, today: Mapping[str, Any] | None = None) -> Iterator[str]:
    """The lines that say where a row's numbers come from; `today` holds the hashes of the current sources."""
    if row["algorithm"] == BEST_CUDNN:
        yield f"the best cuDNN on {row['layer']} is {row['chosen']}, the fastest of those that are ok:"
        row = row.copy()
        row["algorithm"] = row["chosen"]
    key = tuple(row[column] for column in KEY)
    point = archive.points().get(tuple(row[column] for column in POINT_KEY), {})
    ran: Mapping[str, Any] = point.get("run") or {}
    yield "row        " + ", ".join(f"{column} {value}" for column, value in zip(KEY, key, strict=True))
    yield f"           of {archive.folder / 'measurements.csv'}"
    yield f"outcome    {row['status']}" + (f": {row['reason']}" if row["reason"] else "")
    if row["status"] == "ok":
        yield from _numbers(archive, row, key)
    yield from _conditions(ran, str(row["protocol"]))
    yield from _sources(row, ran, today)
    yield from _machine(archive, point)
    yield f"measured   {ran.get('started', 'when is not recorded')}, seed {ran.get('seed')}, log {ran.get('log')}"
    yield "configuration"
    config = {name: value for name, value in (point.get("config") or {}).items() if name != "protocols"}
    protocols = (point.get("config") or {}).get("protocols", [])
    config["protocol"] = next((one for one in protocols if one.get("name") == row["protocol"]), None)
    yield json.dumps(config, indent=1, sort_keys=True)


def _numbers(archive: Archive, row: pd.Series, key: tuple[object, ...]) -> Iterator[str]:
    statistic = statistic_of(str(row["protocol"]), str(row["algorithm"]))
    yield (
        f"time       {number(row['time_ms'], 5)} ms "
        f"[{number(row['time_ms_low'], 5)} to {number(row['time_ms_high'], 5)}], "
        f"the {statistic} of {row['samples']:.0f} samples; sampling ended: {str(row['stop_reason']).replace('_', ' ')}"
    )
    yield f"speed      {number(row['tflops'], 5)} TFLOPS, FLOPs of the direct convolution over that time"
    samples = archive.samples()
    keep = np.logical_and.reduce([samples[column] == value for column, value in zip(KEY, key, strict=True)])
    times = samples.loc[keep, "time_ms"]
    quartiles = ", ".join(number(float(value), 5) for value in times.quantile([0, 0.25, 0.5, 0.75, 1]))
    yield f"samples    {archive.folder / SAMPLES}, {len(times)} rows with this key"
    yield f"           least, quartiles, largest: {quartiles} ms"
    memory = {name: row[f"{name}_bytes"] for name in ("tensor", "workspace", "allocator_peak", "process_peak")}
    said = ", ".join(f"{name.replace('_', ' ')} {value:.0f}" for name, value in memory.items() if value == value)
    yield f"memory     {said} bytes"
    yield f"errors     {row['error_fro']:.3g} in norm, {row['error_max']:.3g} at the worst element, against float64"


def _conditions(ran: Mapping[str, Any], protocol: str) -> Iterator[str]:
    state = (ran.get("protocols") or {}).get(protocol) or {}
    if not state:
        yield "clocks     not recorded"
        return
    low, high, usual = (state.get(f"{name}_mhz") for name in ("sm_clock_low", "sm_clock_high", "usual_clock"))
    if low is not None:
        usually = f", usually {usual:.0f}" if usual else ""
        yield f"clocks     {low:.0f} to {high:.0f} MHz around the samples{usually}"
    lowered = state.get("lowered_for") or {}
    if lowered:
        yield "           lowered: " + names(f"{why} around {count}" for why, count in lowered.items())
    discarded = state.get("discarded")
    if discarded is not None:
        yield f"discarded  {len(discarded)} samples taken while the device was slowed down"
        for one in discarded:
            yield f"           {one['time_ms']:.5g} ms at {one['sm_clock_mhz']} MHz: {one['why']}"


def _sources(row: pd.Series, ran: Mapping[str, Any], today: Mapping[str, Any] | None) -> Iterator[str]:
    kernel, harness = row["source_hash"], ran.get("harness_hash")
    yield f"sources    {kernel} (the algorithm's), {against_today(kernel, today, row['algorithm'])}"
    yield f"           {harness or 'not recorded'} (the measuring program's), {against_today(harness, today)}"


def _machine(archive: Archive, point: Mapping[str, Any]) -> Iterator[str]:
    index = point.get("environment")
    environment = archive.provenance["environments"][index] if index is not None else {}
    device, software = environment.get("device", {}), environment.get("software", {})
    git = environment.get("git", {})
    uuid = (point.get("run") or {}).get("uuid") or device.get("uuid")
    yield f"machine    {device.get('name', archive.device_name)}" + (f", {uuid}" if uuid else "")
    yield "           " + ", ".join(f"{name} {version}" for name, version in software.items() if version)
    revision = f"{git.get('revision')}{' (dirty)' if git.get('dirty') else ''}"
    host = f"host {environment.get('host')}, driver {device.get('driver')}"
    yield f"           {host}, revision of this repository {revision}"
    ceilings = archive.provenance.get("ceilings") or {}
    rates = [f"{name} {value:.4g}" for name, value in ceilings.items() if name.endswith(("flops", "_per_s"))]
    yield f"ceilings   {', '.join(rates) or 'not measured'}"
    if constant := ceilings.get("context_bytes"):
        share = f"{constant} bytes ({number(constant / MIB)} MiB)"
        yield f"context    {share} of a process's peak: what a context alone takes"


def trace_claim(archive: Archive, selection: Selection, claim: str) -> Iterator[str]:
    """The lines that say which rows a claim's number is made of. Raises ArchiveError, listing the claims."""
    known = published.claims().set_index("id")
    if claim not in known.index:
        raise ArchiveError(archive.folder, f"there is no claim {claim}", f"the claims are: {names(known.index)}")
    chosen = known.loc[claim]
    yield f"{claim}: {chosen['statement']} ({chosen['aggregate']})"
    involved = ("im2win", *(ABLATED if chosen["unit"] == "rank" else (chosen["baseline"],)))
    rows = with_best_cudnn(rows_of(archive.measurements, selection))
    judged = judge_rows(chosen, rows)
    if judged["verdict"] != NOT_TESTABLE:
        yield f"{selection}: {quantity(float(str(judged['measured'])), chosen['unit'])}, {judged['decided_by']}"
    metric = memory_metric(rows).column if chosen["metric"] == "memory_reduction" else "time_ms"
    unit = "ms" if metric == "time_ms" else "bytes"
    first = choose(archive, {"protocol": selection.protocol})
    options = [
        f"--{name} {getattr(selection, name)}" for name in OPTIONS if getattr(selection, name) != getattr(first, name)
    ]
    yield f"{selection}; made of these rows, each traced by its command:"
    for layer in layer_order(rows["layer"]):
        for algorithm in involved:
            for one in rows[(rows["layer"] == layer) & (rows["algorithm"] == algorithm)].to_dict("records"):
                state = f"{number(one[metric], 5)} {unit}" if one["status"] == "ok" else one["status"]
                where = " ".join([str(archive.folder), layer, algorithm, selection.protocol, *options])
                yield f"  python -m analysis.trace {where}   # {state}"


def main() -> None:
    """Trace one number, or what a claim is made of."""
    parser = argparse.ArgumentParser(prog="python -m analysis.trace", description="Trace a number to its origin.")
    parser.add_argument("archive", help="a folder with measurements.csv, or an archive's name")
    parser.add_argument("address", nargs="*", metavar="LAYER ALGORITHM [PROTOCOL]", help="or with --claim: [PROTOCOL]")
    parser.add_argument("--claim", help="list the rows that a claim of analysis/reference/claims.csv is made of")
    parser.add_argument("--data", help="the error on data of this kind (accuracy.csv), not a measurement")
    parser.add_argument("--experiment", help="if not the first one")
    parser.add_argument("--suite", help="if not the first one")
    parser.add_argument("--batch", type=int, help="if not the first one")
    parser.add_argument("--numerics", help="if not the first one")
    parser.add_argument("--sources", type=Path, default=SOURCES, help="today's hashes, as snakemake writes them")
    options = parser.parse_args()
    named = list(options.address)
    rest = named if options.claim else named[2:]
    if len(rest) > 1 or len(named) - len(rest) == 1 or not (options.claim or named):
        parser.error("give a layer, an algorithm and a protocol or none; or --claim and a protocol or none")
    if options.data:
        chosen = [f"--{key}" for key in ("claim", *OPTIONS) if getattr(options, key) is not None]
        if beside := [*rest, *chosen]:
            parser.error(f"--data takes a layer and an algorithm alone: leave out {', '.join(beside)}")
    archive = read(find(options.archive))
    today = read_sources(options.sources) if options.sources.is_file() else None
    if options.data:
        print("\n".join(errors.trace(archive.folder, named[0], named[1], options.data, today)))
        return
    wanted = {key: getattr(options, key) for key in OPTIONS}
    algorithm = "" if options.claim else named[1]
    selection = choose(archive, wanted | {"protocol": rest[0] if rest else None}, algorithm)
    if options.claim:
        print("\n".join(trace_claim(archive, selection, options.claim)))
        return
    print("\n".join(trace(archive, row_of(archive, selection, *named[:2]), today)))
    if today is None:
        print(f"Whether it is stale cannot be told: {options.sources} is missing, which snakemake writes.")


if __name__ == "__main__":
    run(main)

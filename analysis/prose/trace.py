"""The lines that trace a number to its raw samples, configuration, sources and machine, or a claim to its rows."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.numbers import published
from analysis.numbers.algorithms import BEST_CUDNN, ablations, paper
from analysis.numbers.series import (
    MIB,
    Selection,
    layer_order,
    memory_metric,
    rows_of,
    selections,
    with_best_cudnn,
)
from analysis.numbers.staleness import against_today
from analysis.numbers.verdicts import NOT_TESTABLE, judge_rows
from analysis.table.archive import Archive
from analysis.table.check import statistic_of
from analysis.table.companions import ACCURACY, read_accuracy
from analysis.table.errors import ArchiveError
from analysis.table.schema import KEY, MANIFEST, MEASUREMENTS, POINT_KEY, PROVENANCE, SAMPLES
from analysis.table.sizes import flops, sizes_of
from analysis.writing.phrases import names, number, quantity

#: The parts of a selection that are options of the program; the protocol is an argument.
OPTIONS = ("experiment", "suite", "batch", "numerics")


def choose(archive: Archive, wanted: Mapping[str, object], algorithm: str = "") -> Selection:
    """Choose the first selection of the table with the `wanted` values that has `algorithm`; if none has, the first.

    Raises ArchiveError, listing those that are there.
    """
    asked_for = {key: value for key, value in wanted.items() if value is not None}
    fitting = [
        one
        for one in selections(archive.measurements)
        if all(getattr(one, key) == value for key, value in asked_for.items())
    ]
    for selection in fitting:
        # No row has the name of the best cuDNN; the first selection is the one to look for it.
        if algorithm in set(rows_of(archive.measurements, selection)["algorithm"]):
            return selection
    if fitting:
        return fitting[0]
    there = "; ".join(str(one) for one in selections(archive.measurements))
    asked = ", ".join(f"{key} {value}" for key, value in asked_for.items())
    raise ArchiveError(archive.folder, f"holds nothing with {asked}", f"it has: {there}")


def row_of(archive: Archive, selection: Selection, layer: str, algorithm: str) -> pd.Series:
    """Find one row of the table or of the best cuDNN. Raises ArchiveError, listing what there is."""
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
    """Write the origin of a row's numbers as lines; `today` holds the hashes of the current sources."""
    if row["algorithm"] == BEST_CUDNN:
        yield f"the best cuDNN on {row['layer']} is {row['chosen']}, the fastest of those that are ok:"
        row = row.copy()
        row["algorithm"] = row["chosen"]
    key = tuple(row[column] for column in KEY)
    point = archive.points().get(tuple(row[column] for column in POINT_KEY), {})
    ran: Mapping[str, Any] = point.get("run") or {}
    yield "row        " + ", ".join(f"{column} {value}" for column, value in zip(KEY, key, strict=True))
    yield f"           of {archive.folder / MEASUREMENTS}"
    yield f"outcome    {row['status']}" + (f": {row['reason']}" if row["reason"] else "")
    if row["status"] == "ok":
        yield from _numbers(archive, row, key, point)
    yield from _checked(archive, row, point)
    yield from _conditions(ran, str(row["protocol"]))
    yield from _sources(row, ran, today)
    yield from _machine(archive, point)
    yield f"measured   {ran.get('started', 'when is not recorded')}, seed {ran.get('seed')}, log {ran.get('log')}"
    yield "configuration"
    config = {name: value for name, value in (point.get("config") or {}).items() if name != "protocols"}
    protocols = (point.get("config") or {}).get("protocols", [])
    config["protocol"] = next((one for one in protocols if one.get("name") == row["protocol"]), None)
    yield json.dumps(config, indent=1, sort_keys=True)


def _numbers(archive: Archive, row: pd.Series, key: tuple[object, ...], point: Mapping[str, Any]) -> Iterator[str]:
    statistic = statistic_of(row, point)
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


def _checked(archive: Archive, row: pd.Series, point: Mapping[str, Any]) -> Iterator[str]:
    """Say what reading the table has checked of a row, and that it holds: else there would be no trace of it."""
    size = sizes_of(point)
    if row["status"] == "ok" and size:
        statistic, work = statistic_of(row, point), flops(size) * row["batch"]
        yield f"checked    time and interval are the {statistic} of these samples and its 95 % interval, speed is"
        yield f"           {work} FLOPs over the time, and the tensor bytes are those of its sizes in {PROVENANCE}"
    else:
        yield "checked    there are no samples of it"
    said = "no manifest, so only numbers that follow from others are checked"
    if (archive.folder / MANIFEST).exists():
        said = f"every file of the archive has the size and SHA-256 that {MANIFEST} lists"
    yield f"           {said}"


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
    if state.get("other_load_cores") is not None:
        yield f"other load {state['other_load_cores']:.1f} cores were kept busy by other programs meanwhile"
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
        yield f"context    {share} of a process's peak is the CUDA context"


def trace_claim(archive: Archive, selection: Selection, claim: str) -> Iterator[str]:
    """Write the rows behind a claim's number as lines. Raises ArchiveError, listing the claims."""
    known = published.claims().set_index("id")
    if claim not in known.index:
        raise ArchiveError(archive.folder, f"there is no claim {claim}", f"the claims are: {names(known.index)}")
    chosen = known.loc[claim]
    yield f"{claim}: {chosen['statement']} ({chosen['aggregate']})"
    involved = (paper(), *(ablations() if chosen["unit"] == "rank" else (chosen["baseline"],)))
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


def trace_error(folder: Path, layer: str, algorithm: str, data: str, today: Mapping[str, Any] | None) -> Iterator[str]:
    """Write the origin of an error on a kind of `data` as lines; `today` holds the hashes of the current sources.

    Raises ArchiveError, listing what is there, if there is no such row.
    """
    rows = read_accuracy(folder)
    for column, value in (("layer", layer), ("algorithm", algorithm), ("distribution", data)):
        there = list(dict.fromkeys(rows[column]))
        if value not in there:
            raise ArchiveError(
                folder / ACCURACY, f"has no {column} {value}", f"it has: {', '.join(there) or 'no rows'}"
            )
        rows = rows[rows[column] == value]
    for _, row in rows.iterrows():
        yield f"row        {layer}, {algorithm}, {data} in {row['suite']}, batch {row['batch']}, {row['numerics']}"
        yield f"           of {folder / ACCURACY}"
        yield f"outcome    {row['status']}" + (f": {row['reason']}" if row["status"] != "ok" else "")
        if row["status"] == "ok":
            yield f"errors     {row['error_fro']:.3g} in norm, {row['error_max']:.3g} at the worst element"
            componentwise, mean = row["error_componentwise"], row["error_mean"]
            yield f"           {componentwise:.3g} of an output's terms, {mean:.3g} on average"
        source = row["source_hash"]
        yield f"sources    {source} (the algorithm's), {against_today(source, today, algorithm)}"
    yield "inputs     the same for everybody: workflow/harness/distributions.py makes them of a fixed seed"
    yield "again      snakemake accuracy"

"""Collects the results of an experiment's points into one results table.

    python -m workflow.aggregate --selection JSON --folder results/DEVICE [--anchors JSON --gpu UUID ...]

Reads `FOLDER/points/EXPERIMENT/**/result.json` of the selected points and `FOLDER/ceilings.json`, and writes
measurements.csv, samples.csv.gz and provenance.json into FOLDER, networks.csv if a suite is a network, and models.csv
if the experiment times whole networks (FOLDER/models/NETWORK/BACKEND/run-N.json). Exits 1 with a message if a result is
missing, damaged or that of another configuration.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from analysis.table import archive as table
from analysis.table.companions import MODEL_COLUMNS, MODEL_KEY, MODELS, NETWORKS
from analysis.table.files import write_atomically
from workflow.experiment import catalog
from workflow.experiment.errors import RequestError, ResultError
from workflow.experiment.identity import identity
from workflow.experiment.points import Point
from workflow.experiment.sweep import Selection, Sweep
from workflow.jobs import models
from workflow.jobs.companions import network_table
from workflow.jobs.results import CEILINGS, read_result

UNKNOWN_ENVIRONMENT = {"unknown": "the measuring process ended before it told"}
WAY_OUT_OF_CEILINGS = "delete it, if it is there, and run snakemake, which measures the machine's ceilings again"
WAY_OUT = "delete it and run snakemake again, which measures the point again"


def collect(sweep: Sweep, folder: Path) -> tuple[list[dict[str, Any]], Iterator[dict[str, Any]], dict[str, Any]]:
    """The rows, samples (one by one: they are many) and provenance of a sweep's points. Raises ResultError."""
    experiment = sweep.experiment["name"]
    rows: list[dict[str, Any]] = []
    times: list[tuple[dict[str, Any], list[float]]] = []
    points: list[dict[str, Any]] = []
    environments: list[dict[str, Any]] = []
    for point in sweep.points.values():
        path = folder / "points" / experiment / point.path / "result.json"
        document = read_result(path)
        check(document, sweep, point, path)
        assert document is not None
        environment = document["environment"] or UNKNOWN_ENVIRONMENT
        if environment not in environments:
            environments.append(environment)
        key = {"experiment": experiment, **point._asdict()}
        points.append(
            {
                **key,
                "environment": environments.index(environment),
                "status": document["status"],
                "attempt": document["attempt"],
                "config": document["point"],
                "run": document["run"],
            }
        )
        rows += [row for row in document["rows"] if row["protocol"] in sweep.protocols]
        sampled = document["samples"].items()
        times += [({**key, "protocol": protocol}, taken) for protocol, taken in sampled if protocol in sweep.protocols]
    timed = [{**one, "environment": one["environment"] or UNKNOWN_ENVIRONMENT} for one in models.collect(sweep, folder)]
    environments += [one for one in _distinct(each["environment"] for each in timed) if one not in environments]
    provenance = {
        "device": _device(environments, folder, str(sweep.device["kind"])),
        "ceilings": ceilings(folder / CEILINGS),
        "environments": environments,
        "points": points,
    }
    if timed:
        provenance["models"] = [
            {**{column: one["row"][column] for column in MODEL_KEY}, "config": one["config"]}
            | {"environment": environments.index(one["environment"])}
            for one in timed
        ]
    samples = ({**key, "sample": index, "time_ms": time} for key, taken in times for index, time in enumerate(taken))
    return rows, samples, provenance


def ceilings(path: Path) -> dict[str, Any]:
    """What the machine can do (see workflow.ceilings). Raises ResultError where that is missing or damaged."""
    measured = read_result(path)
    if not measured or "copy_bytes_per_s" not in measured:
        raise ResultError(f"{path} is {'missing' if measured is None else 'damaged'}; {WAY_OUT_OF_CEILINGS}")
    return measured


def collect_anchors(sweep: Sweep, folder: Path, gpus: Iterable[str]) -> list[dict[str, Any]]:
    """A row for each anchor that is ok and each GPU: the point, the protocol, the GPU and the time in ms."""
    experiment = sweep.experiment["name"]
    kept = ("protocol", "time_ms", "time_ms_low", "time_ms_high")
    found = []
    for gpu in gpus:
        for point in sweep.points.values():
            document = read_result(folder / "gpus" / gpu / "points" / experiment / point.path / "result.json") or {}
            rows = [
                row for row in document.get("rows", []) if row["status"] == "ok" and row["protocol"] in sweep.protocols
            ]
            found += [{"gpu": gpu, **point._asdict(), **{key: row[key] for key in kept}} for row in rows]
    return found


def _distinct(environments: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for one in environments:
        found += [one] if one not in found else []
    return found


def write_models(sweep: Sweep, folder: Path) -> None:
    """Write the table of the whole networks; remove one that an earlier run left, if this one times none."""
    rows = [one["row"] | {"source_hash": one["config"]["source_hash"]} for one in models.collect(sweep, folder)]
    if not rows:
        (folder / MODELS).unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, MODEL_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(folder / MODELS, text.getvalue())


def write_networks(sweep: Sweep, folder: Path) -> None:
    """Write the table of the sweep's networks; remove one that an earlier run left, if this one has none."""
    if text := network_table(sweep):
        write_atomically(folder / NETWORKS, text)
    else:
        (folder / NETWORKS).unlink(missing_ok=True)


def check(document: Mapping[str, Any] | None, sweep: Sweep, point: Point, path: Path) -> None:
    """Raises ResultError unless the document is the result of this point as it would be measured now."""
    if document is None:
        raise ResultError(f"{path} is missing; run snakemake, which measures the point")
    needed = ("point", "status", "attempt", "rows", "samples", "environment", "run")
    missing = [key for key in needed if key not in document]
    if missing:
        raise ResultError(f"{path} is damaged: it lacks {', '.join(missing)}; {WAY_OUT}")
    measured = document["point"]
    wanted, was = identity(sweep.resolve(point, measured)), identity(measured)
    different = [key for key in wanted if was.get(key) != wanted[key]]
    if different:
        raise ResultError(f"{path} was measured with another {', '.join(different)} than conf/ says now; {WAY_OUT}")
    protocols = [row.get("protocol") for row in document["rows"]]
    if sorted(protocols) != sorted(entry["name"] for entry in measured["protocols"]):
        raise ResultError(f"{path} is damaged: its rows are not those of its protocols; {WAY_OUT}")


def _device(environments: Iterable[Mapping[str, Any]], folder: Path, kind: str) -> dict[str, str]:
    names = sorted({environment["device"]["name"] for environment in environments if "device" in environment})
    if len(names) > 1:
        raise ResultError(
            f"the results in {folder} are of different devices: {', '.join(names)}; "
            "measure each with a results folder of its own (--config results=DIR)"
        )
    return {"name": names[0] if names else folder.name, "slug": folder.name, "kind": kind}


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.aggregate", description="Collect results into one table.")
    parser.add_argument("--selection", required=True, type=Selection.from_json, help="experiment and axes, as JSON")
    parser.add_argument("--folder", required=True, type=Path, help="the device's folder of results")
    parser.add_argument("--anchors", default="", help="the selection that every GPU measured, as JSON")
    parser.add_argument("--gpu", action="append", default=[], help="UUID of a GPU that measured it")
    options = parser.parse_args(arguments)
    try:
        known = catalog.read()
        sweep = Sweep(known, options.selection, options.folder.name)
        rows, samples, provenance = collect(sweep, options.folder)
        if options.anchors:
            anchors = Sweep(known, Selection.from_json(options.anchors), options.folder.name)
            provenance["anchors"] = collect_anchors(anchors, options.folder, options.gpu)
        write_models(sweep, options.folder)  # before the table, which without it must have rows
        table.write(options.folder, rows, samples, provenance)
        write_networks(sweep, options.folder)
    except (RequestError, table.ArchiveError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

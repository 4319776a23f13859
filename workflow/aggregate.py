"""Collects the results of an experiment's points into one results table.

    python -m workflow.aggregate --selection JSON --folder results/DEVICE

Reads `FOLDER/points/EXPERIMENT/**/result.json` of the selected points and writes measurements.csv, samples.csv.gz and
provenance.json into FOLDER. Exits 1 with a message if a result is missing, damaged or that of another configuration.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from analysis import table
from workflow import catalog
from workflow.errors import RequestError, ResultError
from workflow.points import Point, Selection, Sweep
from workflow.results import RECORD, read_result

UNKNOWN_ENVIRONMENT = {"unknown": "the measuring process ended before it told"}
WAY_OUT = "delete it and run snakemake again, which measures the point again"


def collect(sweep: Sweep, folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """The rows, samples and provenance of a sweep's points. Raises ResultError."""
    experiment = sweep.experiment["name"]
    rows: list[dict[str, Any]] = []
    samples: list[dict[str, Any]] = []
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
        for protocol, times in document["samples"].items():
            if protocol in sweep.protocols:
                samples += [
                    {**key, "protocol": protocol, "sample": index, "time_ms": time} for index, time in enumerate(times)
                ]
    provenance = {
        "device": _device(environments, folder, str(sweep.device["kind"])),
        "environments": environments,
        "points": points,
    }
    return rows, samples, provenance


def check(document: Mapping[str, Any] | None, sweep: Sweep, point: Point, path: Path) -> None:
    """Raises ResultError unless the document is the result of this point as it would be measured now."""
    if document is None:
        raise ResultError(f"{path} is missing; run snakemake, which measures the point")
    needed = ("point", "status", "attempt", "rows", "samples", "environment", "run")
    missing = [key for key in needed if key not in document]
    if missing:
        raise ResultError(f"{path} is damaged: it lacks {', '.join(missing)}; {WAY_OUT}")
    measured = document["point"]
    wanted = sweep.resolve(point, measured)
    different = [key for key in wanted if measured.get(key) != wanted[key]]
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
    options = parser.parse_args(arguments)
    try:
        sweep = Sweep(catalog.read(), options.selection)
        table.write(options.folder, *collect(sweep, options.folder))
        for point in sweep.points.values():
            (options.folder / "points" / sweep.experiment["name"] / point.path / RECORD).unlink(missing_ok=True)
    except (RequestError, table.ArchiveError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

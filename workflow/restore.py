"""Writes the results of an archive's points again, so that a run goes on from it: the inverse of workflow.aggregate.

    python -m workflow.restore --archive NAME_OR_FOLDER [--results results]

Writes RESULTS/SLUG/points/EXPERIMENT/POINT/result.json of every point of the archive, RESULTS/SLUG/models/ of its whole
networks, and RESULTS/SLUG/ceilings.json, where SLUG is the device that it was measured on. What of it holds the next
run decides, as of every result. Logs are in no archive; the anchors of a host's GPUs and the other tables beside the
results table are measured anew. Exits 1 with a message where there is no such archive, it is damaged, or RESULTS/SLUG
holds something already: then nothing is written.
"""

from __future__ import annotations

import argparse
import math
import shlex
import shutil
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from analysis.table import archive as table
from analysis.table.companions import MODEL_COLUMNS, key_of, read_models
from analysis.table.files import write_json
from analysis.table.schema import COLUMNS, KINDS, POINT_KEY
from workflow.aggregate import UNKNOWN_ENVIRONMENT
from workflow.experiment.archives import ARCHIVES, find_archives
from workflow.experiment.errors import RequestError, ResultError
from workflow.experiment.folders import results_folder
from workflow.experiment.points import Point
from workflow.harness.outcome import result_document
from workflow.jobs.models import Job
from workflow.jobs.results import CEILINGS
from workflow.session.lock import hold


def documents(archive: table.Archive) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The result of every point (see workflow.harness.outcome) and where it lies below the device's folder of results.

    Times in ms. Raises ArchiveError where the provenance does not say how a point was measured.
    """
    path = archive.folder / table.PROVENANCE
    rows: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in archive.measurements.to_dict("records"):
        key = tuple(row[column] for column in POINT_KEY)
        rows.setdefault(key, {})[row["protocol"]] = {column: _cell(row[column], KINDS[column]) for column in COLUMNS}
    in_order = archive.samples().sort_values("sample", kind="stable")
    grouped = in_order.groupby([*POINT_KEY, "protocol"], sort=False)["time_ms"]
    times = {key: taken.tolist() for key, taken in grouped}
    for key, point in archive.points().items():
        name = "/".join(str(part) for part in key)
        if missing := [part for part in ("config", "status", "attempt", "run") if part not in point]:
            raise table.ArchiveError(path, f"{name}: missing {', '.join(missing)}")
        found = rows[key]
        # A table of fewer protocols than were measured has only their rows: it is a result of those.
        protocols = [entry for entry in point["config"].get("protocols", []) if entry["name"] in found]
        if not protocols:
            raise table.ArchiveError(path, f"{name}: its config has no protocols")
        environment = archive.provenance["environments"][point["environment"]]
        document = result_document(
            point["config"] | {"protocols": protocols},
            point["status"],
            next(iter(found.values()))["reason"] or "",
            [found[entry["name"]] for entry in protocols],
            {entry["name"]: taken for entry in protocols if (taken := times.get((*key, entry["name"])))},
            {} if environment == UNKNOWN_ENVIRONMENT else environment,
            point["run"],
        )
        where = Point(**{column: point[column] for column in Point._fields}).path
        yield Path("points", point["experiment"], where, "result.json"), document | {"attempt": point["attempt"]}


def model_documents(archive: table.Archive) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The result of every job of whole networks (see workflow.models) and where it lies, as `documents` gives those.

    A job has rows of one identity: of more, as after several runs, those of the others are left out.
    """
    cells = {key_of(row): row for row in read_models(archive.folder).to_dict("records")}
    found: dict[Job, dict[str, Any]] = {}
    for one in archive.provenance.get("models", ()):
        row = cells[key_of(one)]
        document = found.setdefault(Job(one["model"], one["backend"]), {"identity": one["config"], "rows": []})
        if document["identity"] == one["config"]:
            environment = archive.provenance["environments"][one["environment"]]
            restored = {column: _model_cell(row[column], column) for column in MODEL_COLUMNS if column != "source_hash"}
            document["rows"].append({"row": restored, "environment": environment})
    for job, document in found.items():
        yield job.path / "run-1.json", document


def _model_cell(value: Any, column: str) -> Any:
    kind = "integer" if column in ("batch", "samples", "peak_bytes") else "number"
    return value if isinstance(value, str) else _cell(value, kind)


def _cell(value: Any, kind: str) -> Any:
    """A value of the table as a result has it: nothing where it is empty, or a number that JSON does not have."""
    if kind == "text":
        return value or None
    if not math.isfinite(value):
        return None
    return int(value) if kind == "integer" else float(value)


def restore(archive: table.Archive, results: Path) -> Path:
    """Write the results of an archive below `results`, all of them or none; returns the device's folder.

    They are written into a folder beside it that gets its name at the end; what a killed call left there is removed by
    the next. Raises ResultError where the device's folder holds something, and ArchiveError.
    """
    folder = results / str(archive.provenance["device"]["slug"])
    if folder.exists() and any(folder.iterdir()):
        raise ResultError(
            f"{folder} has results already, which are never overwritten; name another folder (--results DIR, and then "
            "snakemake --config results=DIR), or delete it"
        )
    unfinished = results / f".restoring-{folder.name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        for path, document in chain(documents(archive), model_documents(archive)):
            write_json(unfinished / path, document)
        if archive.provenance.get("ceilings"):
            write_json(unfinished / CEILINGS, archive.provenance["ceilings"])
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def find(name: str, archives: Path = ARCHIVES) -> table.Archive:
    """The archive of that name, or in that folder. Raises BadArchiveError, naming those that there are."""
    found = list(find_archives([name], archives).values())
    if len(found) != 1:
        raise ResultError(f"{name} names {len(found)} archives; name one")
    return table.read(found[0])


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.restore", description="Go on from an archive.")
    parser.add_argument("--archive", required=True, help="a folder with measurements.csv, or an archive's name")
    parser.add_argument("--results", default="results", help="the folder of all results")
    parser.add_argument("--archives", type=Path, default=ARCHIVES, help="where the archives are")
    options = parser.parse_args(arguments)
    try:
        archive = find(options.archive, options.archives)
        results = results_folder(options.results)
        hold(results)
        folder = restore(archive, Path(results))
    except (RequestError, table.ArchiveError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    points, models = len(archive.provenance["points"]), len(archive.provenance.get("models", ()))
    also = f" and {models} rows of whole networks" if models else ""
    config = "" if results == "results" else f" --config {shlex.quote(f'results={options.results}')}"
    print(f"{archive.device_name}: {points} points{also} of {archive.folder} are in {folder}")
    print(f"go on from there: snakemake{config}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

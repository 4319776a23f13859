"""Measures a group of points, each in a process of its own, and records the outcomes, crashes included.

    python -m workflow.measure --selection JSON --size N --group POINT --folder results/DEVICE --output job.json
        [--kernels DIR] [--device SLUG] [--gpu UUID] [--at-once N]

The group is the one whose first point is POINT, among groups of N points of the selection. A point whose stored result
still holds is left as it is. Exits 0 whenever the outcomes are recorded; the outcomes themselves are in the results,
`FOLDER/points/EXPERIMENT/POINT/result.json`. `job.json` lists them. The exception is a time that the machine cannot
reach, by `FOLDER/ceilings.json`: it stops the run (see workflow.session.stop), and this exits 1, as does every job
after it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.table.files import write_json
from workflow.experiment import catalog
from workflow.experiment.errors import RequestError, ResultError
from workflow.experiment.points import Point
from workflow.experiment.sweep import Selection, Sweep
from workflow.harness.outcome import empty_rows, result_document
from workflow.jobs.groups import Groups, last_job
from workflow.jobs.results import CEILINGS, brief, holds, next_attempt, read_result, stamp
from workflow.machine.devices import DeviceError, find_gpus
from workflow.machine.settings import clean
from workflow.session import stop

#: Looked up here, because between fork and exec only the simplest may be done.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def measure_point(
    point: dict[str, Any],
    output: Path,
    log: Path,
    kernels: Path | None = None,
    attempt: int = 1,
    device: str | None = None,
    ceilings: Path | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Measure the resolved `point` and write its result document to `output`; the process's own words go to `log`.

    `kernels` is the folder of compiled programs; without it they are compiled on first use. `device` is the slug of the
    GPU that the point was planned for; on another it fails. `ceilings` is the machine's file of workflow.ceilings. The
    document, which is returned, names the log relative to `folder` or, without one, to the result.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    earlier = stamp(output)  # stays until there is another one
    job = {
        "point": point,
        "kernels": str(kernels) if kernels else None,
        "ceilings": str(ceilings) if ceilings else None,
        "attempt": attempt,
        "output": str(output),
        "log": os.path.relpath(log, folder or output.parent),
    }
    try:
        environment = _environment(point, device)
    except DeviceError as error:
        log.write_text("")
        return _record_failure(job, str(error))
    with log.open("w") as log_file:
        worker = subprocess.run(
            [sys.executable, "-m", "workflow.harness.worker"],
            input=json.dumps(job),
            text=True,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            check=False,
            env=environment,
            preexec_fn=die_with_parent,
        )
    if worker.returncode != 0 or stamp(output) in (None, earlier):
        return _record_failure(job, _describe(worker.returncode, point, log))
    document: dict[str, Any] = json.loads(output.read_text())
    return document


def _environment(point: dict[str, Any], device: str | None) -> dict[str, str]:
    """The variables of the measuring process: it finds only GPUs of the model that the point was planned for.

    Raises DeviceError if there is none.
    """
    environment = clean(os.environ, point["layer"]["groups"])
    if device is None or point["device"]["kind"] != "cuda":
        return environment
    there = find_gpus()
    planned = [gpu.uuid for gpu in there if gpu.slug == device]
    if not planned:
        names = ", ".join(gpu.name for gpu in there) or "no NVIDIA GPU"
        raise DeviceError(f"this was planned for {device}, but the GPU here is: {names}")
    return environment | {"CUDA_VISIBLE_DEVICES": ",".join(planned)}


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, so that a killed run leaves no measurement behind."""
    if _prctl:
        set_parent_death_signal = 1
        _prctl(set_parent_death_signal, signal.SIGKILL)


def _record_failure(job: dict[str, Any], reason: str) -> dict[str, Any]:
    rows = empty_rows(job["point"])
    document = result_document(job["point"], "failed", reason, rows, {}, {}, {"log": job["log"]})
    document["attempt"] = job["attempt"]
    write_json(Path(job["output"]), document)
    return document


def _describe(returncode: int, point: dict[str, Any], log: Path) -> str:
    if returncode == -signal.SIGALRM:
        return f"no result within the time limit of {point['device']['time_limit_seconds']} s"
    if returncode < 0:
        hint = " (out of host memory?)" if returncode == -signal.SIGKILL else ""
        return f"the measuring process was killed by {signal.Signals(-returncode).name}{hint}"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"the measuring process ended with status {returncode}: {lines[-1][:300] if lines else 'no message'}"


@dataclass(frozen=True)
class Job:
    """What the points of a job have in common."""

    groups: Groups
    folder: Path
    kernels: Path | None
    device: str | None

    def measure(self, point: Point) -> None:
        """Measure a point unless its result holds or the run is stopped, and print the outcome."""
        if stop.reason(self.folder):
            print(f"{point.path}: not measured, because the run was stopped", flush=True)
            return
        output = self.groups.result(point)
        stored = read_result(output)
        if holds(brief(stored), self.groups.sweep, point):
            print(f"{point.path}: holds", flush=True)
            return
        start = time.monotonic()
        resolved = self.groups.sweep.resolve(point, (stored or {}).get("point"))
        log = output.with_name("log.txt")
        attempt, ceilings = next_attempt(stored), self.folder / CEILINGS
        document = measure_point(resolved, output, log, self.kernels, attempt, self.device, ceilings, self.folder)
        if "over_ceiling" in document["run"]:
            stop.stop(self.folder, point.path, document)
        reason = f" ({document['reason']})" if document["reason"] else ""
        print(f"{point.path}: {document['status']}{reason}, {time.monotonic() - start:.1f} s", flush=True)

    def record(self, points: Sequence[Point], output: Path) -> None:
        """Write the list of the points, in place of those of earlier jobs."""
        files = {point.path: self.groups.result(point) for point in points}
        write_json(
            output,
            {"points": {path: brief(read_result(file)) | {"stamp": stamp(file)} for path, file in files.items()}},
        )
        for earlier in range(1, last_job(output.parent)):
            output.with_name(f"job-{earlier}.json").unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.measure", description=__doc__.splitlines()[0])
    parser.add_argument("--selection", required=True, type=Selection.from_json, help="experiment and axes, as JSON")
    parser.add_argument("--size", required=True, type=int, help="how many points make a group of the selection")
    parser.add_argument("--group", required=True, help="the group to measure: the path of its first point")
    parser.add_argument("--folder", required=True, type=Path, help="the device's folder of results")
    parser.add_argument("--output", required=True, type=Path, help="where the list of the points goes")
    parser.add_argument("--kernels", type=Path, help="folder of compiled programs")
    parser.add_argument("--device", help="slug of the GPU that this is planned for; any if left out")
    parser.add_argument("--gpu", help="UUID of the only GPU to measure on, with results below FOLDER/gpus/UUID")
    parser.add_argument("--at-once", type=int, default=1, help="processes that get ready while another one measures")
    options = parser.parse_args(arguments)
    # Ctrl-C reaches the measuring processes as well: this one must not take that for a failure of theirs.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    where = options.folder
    if options.gpu:
        where, os.environ["CUDA_VISIBLE_DEVICES"] = where / "gpus" / options.gpu, options.gpu
    try:
        sweep = Sweep(catalog.read(), options.selection, options.device or "")
        groups = Groups(sweep, where / "points" / sweep.experiment["name"], options.size)
        points = groups.find(options.group)
        if not (options.folder / CEILINGS).exists():
            raise ResultError(f"{options.folder / CEILINGS} is missing; run snakemake, which measures it first")
    except RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    job = Job(groups, options.folder, options.kernels, options.device)
    try:
        with ThreadPoolExecutor(options.at_once) as pool:
            list(pool.map(job.measure, points))
        if stopped := stop.reason(options.folder):
            print(f"error: the run was stopped, because no honest number can be this good: {stopped}", file=sys.stderr)
            return 1
        job.record(points, options.output)
    except OSError as error:
        print(f"error: the outcome could not be recorded: {error}; what was measured before stays", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

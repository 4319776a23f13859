"""Measures one point in a process of its own, and records what came of it, a crash included.

    python -m workflow.measure --point JSON --output result.json --log log.txt
        [--kernels DIR] [--attempt N] [--device SLUG]

Exits 0 whenever the outcome is recorded; the outcome itself is in the result. It is recorded in `recorded.json` first,
of which the result is a copy: Snakemake deletes the results of a job that had no orderly end, and a point with a
record is not measured again. workflow.aggregate removes the records once it has every result.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from analysis.files import write_atomically
from workflow.devices import find_gpus
from workflow.files import write_json
from workflow.outcome import empty_rows, result_document
from workflow.results import RECORD, read_result


def measure_point(
    point: dict[str, Any],
    output: Path,
    log: Path,
    kernels: Path | None = None,
    attempt: int = 1,
    device: str | None = None,
) -> dict[str, Any]:
    """Measure the resolved `point` and write its result document to `output`; the process's own words go to `log`.

    `kernels` is the folder of compiled programs; without it they are compiled on first use. `device` is the slug of the
    GPU that the point was planned for; on another it fails. Returns the document.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    output.unlink(missing_ok=True)
    job = {
        "point": point,
        "kernels": str(kernels) if kernels else None,
        "attempt": attempt,
        "output": str(output),
        "log": str(log),
    }
    environment = dict(os.environ)
    if device is not None and point["device"]["kind"] == "cuda":
        there = find_gpus()
        planned = [gpu.uuid for gpu in there if gpu.slug == device]
        if not planned:
            log.write_text("")
            names = ", ".join(gpu.name for gpu in there) or "no NVIDIA GPU"
            return _record_failure(job, f"this was planned for {device}, but the GPU here is: {names}")
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(planned)
    with log.open("w") as log_file:
        worker = subprocess.run(
            [sys.executable, "-m", "workflow.worker"],
            input=json.dumps(job),
            text=True,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            check=False,
            env=environment,
            preexec_fn=_die_with_parent,
        )
    if worker.returncode != 0 or not output.exists():
        return _record_failure(job, _describe(worker.returncode, point, log))
    document: dict[str, Any] = json.loads(output.read_text())
    return document


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, so that a killed run leaves no measurement behind."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


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


def is_recorded(record: Path, point: dict[str, Any], attempt: int) -> bool:
    """Whether this very point was measured before, with its algorithm's sources as they are now, and did not fail."""
    stored = read_result(record)
    if not stored or stored.get("point") != point or stored.get("attempt") != attempt or stored["status"] == "failed":
        return False
    return [row["source_hash"] for row in stored["rows"]] == [row["source_hash"] for row in empty_rows(point)]


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.measure", description=__doc__.splitlines()[0])
    parser.add_argument("--point", required=True, type=json.loads, help="the resolved point, as JSON")
    parser.add_argument("--output", required=True, type=Path, help="where the result document goes")
    parser.add_argument("--log", required=True, type=Path, help="where the measuring process's own words go")
    parser.add_argument("--kernels", type=Path, help="folder of compiled programs")
    parser.add_argument("--attempt", type=int, default=1, help="how many times this point has been tried, with this")
    parser.add_argument("--device", help="slug of the GPU that this is planned for; any if left out")
    options = parser.parse_args(arguments)
    record = options.output.with_name(RECORD)
    if not is_recorded(record, options.point, options.attempt):
        measure_point(options.point, record, options.log, options.kernels, options.attempt, options.device)
    write_atomically(options.output, record.read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())

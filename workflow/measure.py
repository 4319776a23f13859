"""Measures one point in a process of its own, and records what came of it, a crash included.

    python -m workflow.measure --point JSON --output result.json --log log.txt [--kernels DIR] [--attempt N]

Exits 0 whenever the outcome is recorded; the outcome itself is in the result.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from workflow.files import write_json
from workflow.outcome import empty_rows, result_document


def measure_point(
    point: dict[str, Any], output: Path, log: Path, kernels: Path | None = None, attempt: int = 1
) -> dict[str, Any]:
    """Measure the resolved `point` and write its result document to `output`; the process's own words go to `log`.

    `kernels` is the folder of compiled programs; without it they are compiled on first use. Returns the document.
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
    with log.open("w") as log_file:
        worker = subprocess.run(
            [sys.executable, "-m", "workflow.worker"],
            input=json.dumps(job),
            text=True,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            check=False,
            preexec_fn=_die_with_parent,
        )
    if worker.returncode != 0 or not output.exists():
        _record_failure(job, _describe(worker.returncode, point, log))
    document: dict[str, Any] = json.loads(output.read_text())
    return document


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, so that a killed run leaves no measurement behind."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _record_failure(job: dict[str, Any], reason: str) -> None:
    rows = empty_rows(job["point"])
    document = result_document(job["point"], "failed", reason, rows, {}, {}, {"log": job["log"]})
    write_json(Path(job["output"]), document | {"attempt": job["attempt"]})


def _describe(returncode: int, point: dict[str, Any], log: Path) -> str:
    if returncode == -signal.SIGALRM:
        return f"no result within the time limit of {point['device']['time_limit_seconds']} s"
    if returncode < 0:
        hint = " (out of host memory?)" if returncode == -signal.SIGKILL else ""
        return f"the measuring process was killed by {signal.Signals(-returncode).name}{hint}"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"the measuring process ended with status {returncode}: {lines[-1][:300] if lines else 'no message'}"


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.measure", description=__doc__.splitlines()[0])
    parser.add_argument("--point", required=True, type=json.loads, help="the resolved point, as JSON")
    parser.add_argument("--output", required=True, type=Path, help="where the result document goes")
    parser.add_argument("--log", required=True, type=Path, help="where the measuring process's own words go")
    parser.add_argument("--kernels", type=Path, help="folder of compiled programs")
    parser.add_argument("--attempt", type=int, default=1, help="how many times this point has been tried, with this")
    options = parser.parse_args(arguments)
    measure_point(options.point, options.output, options.log, options.kernels, options.attempt)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Times a network with one backend, at all batches and in all modes of an experiment (its `models`).

    python -m workflow.models --selection JSON --suite NAME --backend NAME --folder results/DEVICE --output run-N.json

Rows that still hold stay as they are in the run before, in the folder of the output. What is missing is timed as by
`python -m workflow.model`, in a process of its own, whose words go to log.txt there; one that dies or hangs leaves rows
with the reason. Exits 0 whenever the rows are written.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.table.files import write_json
from workflow.experiment import catalog
from workflow.experiment.errors import RequestError, ResultError
from workflow.experiment.sweep import Selection, Sweep
from workflow.jobs import models
from workflow.machine.devices import find_gpus
from workflow.machine.settings import SPOILING
from workflow.model import in_a_process


def measure(sweep: Sweep, job: models.Job, folder: Path) -> dict[str, Any]:
    """The result of a job: its rows, each with the environment that it was measured in. Prints an outcome for each.

    `folder` is the one of the job's results. Raises RequestError.
    """
    passes = models.plan(sweep).get(job)
    if passes is None:
        raise ResultError(f"{job.suite} with {job.backend} is no job of this run; choose by --config suite= and batch=")
    wanted = models.identity(sweep, job)
    _, before = models.latest(folder)
    rows = models.kept(before, wanted)
    network = wanted["network"]
    words = [network["model"], *(word for sizes in network["inputs"] for word in ("--input", sizes))]
    words += ["--arguments", json.dumps(network["arguments"])] if network["arguments"] else []
    environment: dict[str, Any] = {}
    log = folder / "log.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    lacking = models.missing(rows, passes)
    for told in in_a_process(words, job.backend, lacking, models.protocol(sweep), log) if lacking else ():
        if "environment" in told:
            environment = told["environment"]
            continue
        row = told["row"] | {"model": job.suite}
        rows.append({"row": row, "environment": environment})
        said = f"{row['time_ms']:.3f} ms" if row["status"] == "ok" else f"{row['status']} ({row['reason']})"
        print(f"{job.suite}, {job.backend}, batch {row['batch']}, {row['mode']}: {said}", flush=True)
    return {"identity": wanted, "rows": rows}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.models", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--selection", required=True, type=Selection.from_json, help="experiment and axes, as JSON")
    parser.add_argument("--suite", required=True, help="the network, a file of conf/suite")
    parser.add_argument("--backend", required=True, help="one of workflow/networks/backends.py")
    parser.add_argument("--folder", required=True, type=Path, help="the device's folder of results")
    parser.add_argument("--output", required=True, type=Path, help="where the rows go, as JSON")
    options = parser.parse_args(arguments)
    device = options.folder.name
    for name in SPOILING:
        os.environ.pop(name, None)
    try:
        sweep = Sweep(catalog.read(), options.selection, device)
        if sweep.device["kind"] == "cuda":
            there = [gpu.uuid for gpu in find_gpus() if gpu.slug == device]
            if not there:
                raise ResultError(f"this was planned for {device}, but no such GPU is here")
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(there)
        write_json(options.output, measure(sweep, models.Job(options.suite, options.backend), options.output.parent))
    except (RequestError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

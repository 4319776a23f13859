"""A run of many points whose measurements are only pretended: what planning, jobs and the steps after them cost.

    python -m tests.workflow.simulate [--points 10000] [--folder DIR] [--cores N] [--gpus 8]
    python -m tests.workflow.simulate --points 283 --gpus 4 --cores 64 --ready 10 --turn 1.3

A copy of the checkout seems to have several GPUs and measures the paper's experiment at many batches, each time with as
many samples as an H100 takes on average. Prints the seconds of every step, and the processor's.

With `--ready` a process takes so many seconds to get ready, waits for a GPU and has it for `--turn` seconds: do enough
of them get ready at one time to keep all GPUs at work?
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from analysis.table import companions
from tests.workflow.conftest import COMPILE, H100, Checkout, copy_checkout, pretend
from workflow.experiment import catalog
from workflow.experiment.sweep import Selection, Sweep

GPUS = 8
SAMPLES = 37
GPU_MACHINE = """
import os
import workflow.machine.devices

def find_gpus():
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(f"GPU-{{index}}" for index in range({gpus})))
    return [workflow.machine.devices.Gpu(int(uuid[4:]), uuid, "{name}", "sm_90a") for uuid in visible.split(",")]

workflow.machine.devices.find_gpus = find_gpus
workflow.machine.devices.pytorch_without_cuda = lambda: ""
"""
#: Stands for what writes a table beside the results table: one without rows.
BESIDE = """
import sys
from pathlib import Path

Path(sys.argv[sys.argv.index("--output") + 1]).write_text("{columns}\\n")
"""
RESULTS = "results/nvidia-h100-80gb-hbm3"
#: Step -> what Snakemake is asked for; each has what the ones before it made.
STEPS = {
    "plan": (f"{RESULTS}/measurements.csv", "-n"),
    "measure": (f"{RESULTS}/measurements.csv", "--until", "measure"),
    "plan again": (f"{RESULTS}/measurements.csv", "-n"),
    "aggregate": (f"{RESULTS}/measurements.csv",),
    "claims": (f"{RESULTS}/claims.csv",),
    "figures": (f"{RESULTS}/figures/tflops.svg",),
    "tables": (f"{RESULTS}/tables/tflops.csv",),
    "report": (f"{RESULTS}/report.html",),
}


class Seconds(NamedTuple):
    """How long a step took, and for how long it kept a processor busy."""

    elapsed: float
    processor: float


def batches(points: int) -> str:
    """As many batches as make so many points or a few more of the paper's experiment, as --config takes them."""
    each = len(Sweep(catalog.read(), Selection("paper", {"batch": ["1"]})).points)
    return ",".join(str(batch) for batch in range(1, 1 + -(-points // each)))


def prepare(folder: Path, gpus: int = GPUS) -> Checkout:
    """The checkout, with stand-ins for the GPUs, the compiler and the measuring process."""
    checkout = copy_checkout(folder)
    pretend(checkout)
    (folder / "workflow/compile.py").write_text(COMPILE)
    for name, columns in (("accuracy", companions.ACCURACY_COLUMNS), ("transforms", companions.TRANSFORM_COLUMNS)):
        (folder / f"workflow/{name}.py").write_text(BESIDE.format(columns=",".join(columns)))
    (folder / "stand_in").mkdir()
    (folder / "stand_in/sitecustomize.py").write_text(GPU_MACHINE.format(gpus=gpus, name=H100))
    checkout.outcomes(samples=SAMPLES)
    return checkout


def turns(checkout: Checkout, points: int, cores: int) -> str:
    """Only measure, and say how many times as fast as one of them the GPUs were."""
    config = ("--config", "experiment=paper", f"batch={batches(points)}")
    checkout.ran(*STEPS["measure"], "--cores", str(cores), *config)
    lines = [line.split() for line in (checkout.folder / "measured.log").read_text().splitlines()]
    spans = [(float(start), float(end)) for *_, start, end in lines]
    busy = sum(end - start for start, end in spans)
    elapsed = max(end for _, end in spans) - min(start for start, _ in spans)
    return f"{len(spans)} points had a GPU for {busy:.0f} s, in {elapsed:.0f} s: {busy / elapsed:.2f} times one GPU"


def simulate(checkout: Checkout, points: int, cores: int) -> dict[str, Seconds]:
    """The seconds of every step, for so many points or a few more."""
    config = ("--config", "experiment=paper", f"batch={batches(points)}")
    seconds = {}
    for step, arguments in STEPS.items():
        start, busy = time.perf_counter(), processor_seconds()
        checkout.ran(*arguments, "--cores", str(cores), *config)
        seconds[step] = Seconds(time.perf_counter() - start, processor_seconds() - busy)
        print(f"{step:<12} {seconds[step].elapsed:8.1f} s, of a processor {seconds[step].processor:8.1f} s", flush=True)
    return seconds


def processor_seconds() -> float:
    """What the programs that have ended took of a processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m tests.workflow.simulate", description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where the copy of the checkout goes; a temporary one if left out")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--gpus", type=int, default=GPUS)
    parser.add_argument("--ready", type=float, help="seconds in which a measuring process gets ready")
    parser.add_argument("--turn", type=float, default=1.3, help="seconds for which it then has its GPU")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        checkout = prepare((options.folder or Path(temporary)) / "checkout", options.gpus)
        if options.ready is not None:
            checkout.outcomes(ready_seconds=options.ready, seconds=options.turn)
            print(turns(checkout, options.points, options.cores))
            return
        seconds = simulate(checkout, options.points, options.cores)
        count = len(checkout.taken())
    elapsed, processor = (1e3 * one / count for one in seconds["measure"])
    print(f"{count} points, {elapsed:.0f} ms each to measure nothing ({processor:.0f} ms of a processor)")


if __name__ == "__main__":
    main()

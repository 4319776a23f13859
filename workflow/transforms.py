"""Times the im2win transform alone, to be set beside the machine's copies.

    python -m workflow.transforms --selection JSON --device SLUG --output transform.csv [--kernels DIR]

One row for each problem of the selection's im2win (the algorithm of role `paper`): X into the window tensor and F's
reordering, which are one launch, sampled as `end_to_end` is. The difference of two protocols is less precise: its
interval is as wide as those of two times that may be twenty times as long. A problem that is declined is a row with its
reason; another failure ends the program.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from analysis.table.files import csv_text, write_atomically
from kernels import algorithm as algorithms
from kernels.plan import UnsupportedError
from kernels.problem import FLOAT_BYTES, ConvProblem
from workflow.experiment import catalog
from workflow.experiment.sweep import Selection, Sweep
from workflow.harness import distributions, statistics, timing, verify
from workflow.harness.monitor import Monitor, monitor
from workflow.machine.devices import find_gpus
from workflow.machine.lease import leased_gpu

if TYPE_CHECKING:
    from kernels.launch import KernelLibrary

#: The protocol whose way of sampling is used.
PROTOCOL = "end_to_end"


@dataclass(frozen=True)
class Row:
    """One line of the table. Of `moved_bytes` X and F are read once, and the window tensor and F' written once."""

    suite: str
    batch: int
    layer: str
    algorithm: str
    window_bytes: int
    moved_bytes: int
    status: str
    reason: str
    time_ms: float | None
    time_ms_low: float | None
    time_ms_high: float | None
    samples: int | None
    stop_reason: str
    source_hash: str


class TransformError(Exception):
    """What was computed of a transformed input is wrong."""


def moved_bytes(problem: ConvProblem) -> int:
    """All that the transform moves, as Row says."""
    x_and_filters = math.prod(problem.input_shape) + 2 * math.prod(problem.filter_shape)
    return problem.window_tensor_bytes + FLOAT_BYTES * x_and_filters


def measure(sweep: Sweep, device: torch.device, library: KernelLibrary | None, gpu: Monitor) -> Iterator[Row]:
    """The rows of the sweep's points. Raises TransformError if a convolution of what was transformed is wrong."""
    protocol = sweep.catalog.get("protocol", PROTOCOL)
    timed = sweep.of_role("paper")
    for point in sweep.points.values():
        if point.algorithm not in timed:
            continue
        problem = sweep.problem(point)
        status, reason, found = "ok", "", None
        try:
            found = _time(sweep.resolve(point), problem, protocol, device, library, gpu)
        except UnsupportedError as error:
            status, reason = "unsupported", str(error)
        yield Row(
            suite=point.suite,
            batch=point.batch,
            layer=point.layer,
            algorithm=point.algorithm,
            window_bytes=problem.window_tensor_bytes,
            moved_bytes=moved_bytes(problem),
            status=status,
            reason=reason,
            time_ms=found.estimate.value if found else None,
            time_ms_low=found.estimate.low if found else None,
            time_ms_high=found.estimate.high if found else None,
            samples=len(found.samples) if found else None,
            stop_reason=found.stop_reason if found else "",
            source_hash=sweep.source_hash(point.algorithm),
        )


def _time(
    resolved: dict[str, Any],
    problem: ConvProblem,
    protocol: dict[str, Any],
    device: torch.device,
    library: KernelLibrary | None,
    gpu: Monitor,
) -> timing.Timing:
    entry, numerics = resolved["algorithm"], resolved["numerics"]
    x, f = torch.empty(problem.input_shape, device=device), torch.empty(problem.filter_shape, device=device)
    y = torch.empty(problem.output_shape, device=device)
    distributions.uniform(x, f, torch.Generator(device))
    algorithm = algorithms.load(entry["name"], entry["module"], entry["parameters"])
    with closing(algorithm.plan(problem, device, library, False)) as plan:
        clock = timing.make_clock(protocol, device)
        found = timing.measure(clock, lambda: plan.prepare(x, f), protocol, statistics.median, gpu)
        # What was timed is what the convolution reads: the last image, which the last blocks transform.
        verify.poison(y)
        plan.compute(x, f, y)
    error = verify.error(problem, x, f, y, [problem.batch - 1])
    if not error.within(numerics["max_error_fro"], numerics["max_error_max"]):
        raise TransformError(f"{entry['name']} on {problem} has errors {error} after its transform was timed")
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.transforms", description=__doc__.splitlines()[0])
    parser.add_argument("--selection", required=True, help="the sweep's selection, as JSON")
    parser.add_argument("--device", required=True, help="slug of the GPU's model")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--kernels", type=Path, help="folder of compiled programs")
    options = parser.parse_args(arguments)
    sweep = Sweep(catalog.read(), Selection.from_json(options.selection), options.device)
    gpus = [gpu.uuid for gpu in find_gpus() if gpu.slug == options.device]
    if not gpus:
        print(f"error: no GPU of the model {options.device} was found, and it is its transform", file=sys.stderr)
        return 1
    with leased_gpu(gpus) as uuid:
        from kernels.launch import KernelLibrary

        device = torch.device("cuda", 0)
        with monitor(uuid) as gpu:
            content = csv_text(Row, measure(sweep, device, KernelLibrary(device, options.kernels), gpu))
    write_atomically(options.output, content.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

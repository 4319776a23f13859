"""Runs algorithms on layers, each once: what a profiler is to look at.

    ncu --profile-from-start off --nvtx --clock-control none --csv --metrics gpu__time_duration.sum,... \\
        python -m workflow.profile --layer conv1 conv8 --algorithm im2win_tensor_core --kernels results/kernels/sm_90a

A plan runs and chooses its tiles before the profiler is started; then it runs once more, in an NVTX range named
ALGORITHM/LAYER. Nsight Compute flushes the caches before each kernel, unless told otherwise.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from kernels import algorithm as algorithms
from kernels.plan import UnsupportedError
from kernels.problem import ConvProblem
from workflow.experiment import catalog
from workflow.experiment.catalog import check_problem
from workflow.experiment.errors import RequestError
from workflow.experiment.points import positive
from workflow.harness import distributions, timing
from workflow.machine.devices import find_gpus
from workflow.machine.lease import leased_gpu

if TYPE_CHECKING:
    from kernels.launch import KernelLibrary

_SUITE = "by_hand"


def run(
    entry: dict[str, Any], problem: ConvProblem, label: str, device: torch.device, library: KernelLibrary | None
) -> None:
    """Run an algorithm (its entry in conf/) on a problem, seen by a profiler as `label`. Raises UnsupportedError."""
    shapes = (problem.input_shape, problem.filter_shape, problem.output_shape)
    x, f, y = (torch.empty(shape, device=device) for shape in shapes)
    distributions.uniform(x, f, torch.Generator(device))
    algorithm = algorithms.load(entry["name"], entry["module"], entry["parameters"])
    with closing(algorithm.plan(problem, device, library, tf32=False)) as plan:
        plan.run(x, f, y)
        plan.autotune(x, f, y, partial(timing.quick_median, timing.cold_clock(device)))
        plan.run(x, f, y)
        with _profiled(label, device):
            plan.run(x, f, y)


@contextmanager
def _profiled(label: str, device: torch.device) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    torch.cuda.synchronize()
    torch.cuda.profiler.start()
    with torch.cuda.nvtx.range(label):
        yield
        torch.cuda.synchronize()
    torch.cuda.profiler.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.profile", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layer", nargs="+", required=True, help="files of conf/layer, or descriptors")
    parser.add_argument("--algorithm", nargs="+", required=True, help="files of conf/algorithm")
    parser.add_argument("--batch", default="64")
    parser.add_argument("--kernels", type=Path, help="folder of compiled programs; without it they are compiled first")
    options = parser.parse_args(arguments)
    try:
        known = catalog.read()
        batch = positive("batch", options.batch)
        entries = [known.get("algorithm", name) for name in options.algorithm]
        problems = {name: check_problem(known.get("layer", name), batch, _SUITE) for name in options.layer}
    except RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    with ExitStack() as stack:
        device, library = torch.device("cpu"), None
        if any(entry["backend"] == "cuda" for entry in entries):
            if not (gpus := [gpu.uuid for gpu in find_gpus()]):
                print("error: no NVIDIA GPU was found, and the algorithms need one", file=sys.stderr)
                return 1
            stack.enter_context(leased_gpu(gpus))
            from kernels.launch import KernelLibrary

            device = torch.device("cuda", 0)
            library = KernelLibrary(device, options.kernels)
        for entry in entries:
            for name, problem in problems.items():
                label = f"{entry['name']}/{name}"
                try:
                    run(entry, problem, label, device, library)
                    print(label, flush=True)
                except UnsupportedError as error:
                    print(f"{label}: unsupported: {error}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

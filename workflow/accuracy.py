"""Compares the errors of FP32-accurate algorithms and of strict FP32 on the same data, for several kinds of data.

    python -m workflow.accuracy --selection JSON --output accuracy.csv [--kernels DIR]

Every layer of the selection at a small batch, every distribution of workflow.harness.distributions. An algorithm that
declines a layer is a row with its reason; another failure ends the program.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from analysis.table.files import csv_text, write_atomically
from kernels import algorithm as algorithms
from kernels.algorithm import Plan, UnsupportedError
from kernels.build.sources import source_hash
from kernels.problem import ConvProblem
from workflow.experiment import catalog
from workflow.experiment.sweep import Selection, Sweep
from workflow.harness import verify
from workflow.harness.distributions import DISTRIBUTIONS, make
from workflow.machine.devices import find_gpus, require_in_use, use
from workflow.machine.lease import lease

if TYPE_CHECKING:
    from kernels.launch import KernelLibrary

ACCURATE = "fp32_accurate"
#: What the class is held against: strict FP32, direct, and one of the fastest that cuDNN has of that kind.
BASELINE = "cudnn_implicit_precomp_gemm"
BATCH = 4


@dataclass(frozen=True)
class Accuracy:
    """Errors of an output against float64.

    `error_fro` and `error_max` are those of workflow.harness.verify. `error_componentwise` is the largest |y - ref|
    over |F| * |X|: each output relative to the sum of its own terms' magnitudes. `error_mean` is the mean of (y - ref)
    * sign(ref) over the mean of |ref|: negative if results are too small, as those of truncated sums are.
    """

    error_fro: float
    error_max: float
    error_componentwise: float
    error_mean: float


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    suite: str
    batch: int
    layer: str
    reduction: int
    distribution: str
    algorithm: str
    numerics: str
    status: str
    reason: str
    error_fro: float | None
    error_max: float | None
    error_componentwise: float | None
    error_mean: float | None
    source_hash: str


def accuracy(x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, stride: int) -> Accuracy:
    """How far Y is from the convolution of X and F in float64. Everything is NaN if Y holds a NaN."""
    with torch.backends.cudnn.flags(enabled=False):  # nothing that is measured here takes part in the reference
        pairs = [(image.double()[None], f.double()) for image in x]
        reference = torch.cat([functional.conv2d(*pair, stride=stride) for pair in pairs])
        terms = torch.cat([functional.conv2d(a.abs(), b.abs(), stride=stride) for a, b in pairs])
    difference = y.double() - reference
    sums = torch.stack(
        [
            difference.norm() / reference.norm(),
            difference.abs().max() / reference.abs().max(),
            # Where all terms are zero so must the output be: 0 / 0 is no error, anything else is infinite.
            torch.where(difference == 0, 0.0, difference.abs() / terms).max(),
            (difference * reference.sign()).mean() / reference.abs().mean(),
        ]
    ).tolist()
    return Accuracy(*sums) if not math.isnan(sums[0]) else Accuracy(*[math.nan] * 4)


def measure(sweep: Sweep, device: torch.device, library: KernelLibrary | None) -> Iterator[Row]:
    """The rows of the sweep's layers: its FP32-accurate algorithms and the baseline, which comes first."""
    accurate = {point.algorithm: point.numerics for point in sweep.points.values() if point.numerics == ACCURATE}
    chosen = {BASELINE: "strict_fp32"} | accurate
    layers = {(point.suite, point.layer): sweep.resolve(point)["layer"] for point in sweep.points.values()}
    for (suite, layer), sizes in layers.items():
        problem = ConvProblem(batch=BATCH, **{key: value for key, value in sizes.items() if key != "name"})
        for algorithm, numerics in chosen.items():
            entry = sweep.catalog.get("algorithm", algorithm)
            yield from _rows(suite, layer, problem, entry, numerics, device, library)


def _rows(
    suite: str,
    layer: str,
    problem: ConvProblem,
    entry: dict[str, Any],
    numerics: str,
    device: torch.device,
    library: KernelLibrary | None,
) -> Iterator[Row]:
    made = algorithms.load(entry["name"], entry["module"], entry["parameters"])
    for index, distribution in enumerate(DISTRIBUTIONS):
        status, reason, found = "ok", "", None
        x, f = make(distribution, problem, device, seed=index)
        try:
            found = accuracy(x, f, _run(made.plan(problem, device, library, False), problem, x, f), problem.stride)
        except UnsupportedError as error:
            status, reason = "unsupported", str(error)
        yield Row(
            suite=suite,
            batch=problem.batch,
            layer=layer,
            reduction=problem.gemm_shape[2],
            distribution=distribution,
            algorithm=entry["name"],
            numerics=numerics,
            status=status,
            reason=reason,
            error_fro=found.error_fro if found else None,
            error_max=found.error_max if found else None,
            error_componentwise=found.error_componentwise if found else None,
            error_mean=found.error_mean if found else None,
            source_hash=source_hash(entry["module"], entry["programs"]),
        )


def _run(plan: Plan, problem: ConvProblem, x: torch.Tensor, f: torch.Tensor) -> torch.Tensor:
    y = torch.empty(problem.output_shape, device=x.device)
    verify.poison(y)
    plan.run(x, f, y)
    return y


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.accuracy", description=__doc__.splitlines()[0])
    parser.add_argument("--selection", required=True, help="the sweep's selection, as JSON")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--kernels", type=Path, help="folder of compiled programs")
    options = parser.parse_args(arguments)
    sweep = Sweep(catalog.read(), Selection.from_json(options.selection))
    gpus = [gpu.uuid for gpu in find_gpus()]
    if not gpus:
        print("error: no NVIDIA GPU was found, and the errors compared are those of GPU algorithms", file=sys.stderr)
        return 1
    with lease(gpus) as gpu:
        use(gpu)
        require_in_use(gpu)
        from kernels.launch import KernelLibrary

        device = torch.device("cuda", 0)
        content = csv_text(Row, measure(sweep, device, KernelLibrary(device, options.kernels)))
    write_atomically(options.output, content.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

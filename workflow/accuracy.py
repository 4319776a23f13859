"""Compares the errors of FP32-accurate algorithms and of strict FP32 on the same data, for several kinds of data.

    python -m workflow.accuracy --selection JSON --output accuracy.csv [--kernels DIR]

Every layer of the selection at a small batch, every distribution of workflow.harness.distributions. An algorithm that
declines a layer, or fails on it, is a row with the reason.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from analysis.table.files import csv_text, write_atomically
from kernels import algorithm as algorithms
from kernels.build.sources import source_hash
from kernels.plan import Plan, UnsupportedError
from kernels.problem import ConvProblem
from kernels.reference import reference
from workflow.experiment import catalog
from workflow.experiment.catalog import Catalog
from workflow.experiment.sweep import Selection, Sweep
from workflow.harness import verify
from workflow.harness.distributions import COMPARED, make
from workflow.machine.devices import find_gpus
from workflow.machine.lease import leased_gpu

if TYPE_CHECKING:
    from kernels.launch import KernelLibrary

ACCURATE = "fp32_accurate"
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


@dataclass(frozen=True, kw_only=True)
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
    reason: str = ""
    error_fro: float | None = None
    error_max: float | None = None
    error_componentwise: float | None = None
    error_mean: float | None = None
    source_hash: str


def accuracy(problem: ConvProblem, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> Accuracy:
    """How far Y is from the convolution of X and F in float64. Everything is NaN if Y holds a NaN."""
    images = x.split(1)
    expected = torch.cat([reference(problem, image, f) for image in images])
    terms = torch.cat([reference(problem, image.abs(), f.abs()) for image in images])
    difference = y.double() - expected
    sums = torch.stack(
        [
            difference.norm() / expected.norm(),
            difference.abs().max() / expected.abs().max(),
            # Where all terms are zero so must the output be: 0 / 0 is no error, anything else is infinite.
            torch.where(difference == 0, 0.0, difference.abs() / terms).max(),
            (difference * expected.sign()).mean() / expected.abs().mean(),
        ]
    ).tolist()
    return Accuracy(*sums) if not math.isnan(sums[0]) else Accuracy(*[math.nan] * 4)


def measure(sweep: Sweep, device: torch.device, library: KernelLibrary | None) -> Iterator[Row]:
    """The rows of the sweep's layers: of the reference algorithm, which comes first, and of the FP32-accurate ones."""
    chosen = {reference_algorithm(sweep.catalog): "strict_fp32"} | dict.fromkeys(sweep.of_class(ACCURATE), ACCURATE)
    layers = {(point.suite, point.layer): sweep.resolve(point)["layer"] for point in sweep.points.values()}
    for (suite, layer), sizes in layers.items():
        problem = ConvProblem.from_layer(sizes, BATCH)
        for algorithm, numerics in chosen.items():
            entry = sweep.catalog.get("algorithm", algorithm)
            yield from _rows(suite, layer, problem, entry, numerics, device, library)


def reference_algorithm(known: Catalog) -> str:
    """What the class is held against: the strict FP32 algorithm on a GPU that conf/ names for it."""
    entries = known.groups["algorithm"].values()
    return next(e["name"] for e in entries if e["about"]["error_reference"] and e["backend"] == "cuda")


def _rows(
    suite: str,
    layer: str,
    problem: ConvProblem,
    entry: dict[str, Any],
    numerics: str,
    device: torch.device,
    library: KernelLibrary | None,
) -> Iterator[Row]:
    """One row for each distribution, all of one plan; where there is none, each of them has the reason."""
    known = {
        "suite": suite,
        "batch": problem.batch,
        "layer": layer,
        "reduction": problem.gemm_shape[2],
        "algorithm": entry["name"],
        "numerics": numerics,
        "source_hash": source_hash(entry["module"], entry["programs"]),
    }
    try:
        plan = algorithms.load(entry["name"], entry["module"], entry["parameters"]).plan(
            problem, device, library, False
        )
    except Exception as error:  # one algorithm must not cost the errors of all others
        for distribution in COMPARED:
            yield Row(**known, distribution=distribution, **_why(error))
        return
    with closing(plan):
        for index, distribution in enumerate(COMPARED):
            x, f = make(distribution, problem, device, seed=index)
            try:
                found = accuracy(problem, x, f, _run(plan, problem, x, f))
            except Exception as error:  # some problems are declined only when they are run
                yield Row(**known, distribution=distribution, **_why(error))
            else:
                yield Row(**known, distribution=distribution, status="ok", **asdict(found))


def _why(error: Exception) -> dict[str, Any]:
    """Status and reason of what did not run."""
    if isinstance(error, UnsupportedError):
        return {"status": "unsupported", "reason": str(error)}
    return {"status": "failed", "reason": f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]}


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
    with leased_gpu(gpus):
        from kernels.launch import KernelLibrary

        device = torch.device("cuda", 0)
        content = csv_text(Row, measure(sweep, device, KernelLibrary(device, options.kernels)))
    write_atomically(options.output, content.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs every CUDA program of ours on small problems; started under compute-sanitizer by test_sanitizer.py.

Its one argument is the folder of compiled programs: NVRTC does not report to a process under the sanitizer.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from kernels import algorithm as algorithms
from kernels.launch import KernelLibrary, has_clusters
from kernels.plan import UnsupportedError
from kernels.problem import ConvProblem
from kernels.reference import reference
from kernels.tiles.tiled import CLUSTER_TILES, RESIDENT, TILES, Schedule
from workflow.experiment import catalog
from workflow.harness import verify

PROBLEMS = [
    ConvProblem(2, 5, 9, 11, 67, 3, 3, 1),
    ConvProblem(1, 3, 15, 17, 33, 5, 4, 2),
    ConvProblem(1, 2, 12, 14, 130, 2, 2, 1),
    # Padded and dilated: reads that must not happen; and a group for each kernel that takes groups.
    ConvProblem(2, 5, 9, 11, 67, 3, 3, padding=((1, 2), (0, 1))),
    ConvProblem(2, 5, 7, 8, 33, 3, 3, (2, 1), ((3, 1), (2, 4)), (1, 2)),
    ConvProblem(1, 8, 9, 11, 20, 3, 3, padding=1, groups=4),
    ConvProblem(2, 8, 9, 11, 8, 3, 3, padding=1, groups=8),
]


#: For the kernel for short reductions: blocks with several tiles, and channels that fill a tile and that don't.
SHORT_REDUCTIONS = [ConvProblem(2, 3, 131, 138, 8, 3, 3, 1), ConvProblem(2, 1, 131, 138, 64, 3, 3, 1)]


def main() -> None:
    device = torch.device("cuda", 0)
    library = KernelLibrary(device, Path(sys.argv[1]))
    entries = catalog.read().groups["algorithm"]
    ours = {name: entry for name, entry in entries.items() if entry["backend"] == "cuda" and entry["programs"]}

    def fused(schedule: Schedule) -> dict[str, Any]:
        return ours["im2win_fused"] | {"parameters": {"schedule": schedule.to_parameters()}}

    others = [fused(Schedule(TILES[-1], 1))]
    if has_clusters(device):
        others += [
            fused(Schedule(CLUSTER_TILES[0], 0, "WindowLoader", 4)),
            fused(Schedule(CLUSTER_TILES[1], 0, cluster=2)),
        ]
    for problem in PROBLEMS + SHORT_REDUCTIONS:
        x = torch.rand(problem.input_shape).to(device)
        f = torch.rand(problem.filter_shape).to(device)
        for chosen in [fused(RESIDENT)] if problem in SHORT_REDUCTIONS else [*ours.values(), *others]:
            name = chosen["name"]
            y = torch.zeros(problem.output_shape).to(device)
            algorithm = algorithms.load(name, chosen["module"], chosen["parameters"])
            try:
                algorithm.plan(problem, device, library, tf32=False).run(x, f, y)
            except UnsupportedError:
                continue
            expected = reference(problem, x.cpu(), f.cpu())
            assert verify.Error(float((y.cpu().double() - expected).abs().max()), 0.0).within(1e-3, 0.0), name
    torch.cuda.synchronize()
    print("all programs ran")


if __name__ == "__main__":
    main()

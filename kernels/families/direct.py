"""The naive direct convolution, the paper's weakest baseline."""

from __future__ import annotations

import torch

from ..algorithm import Algorithm, register, require_kernels
from ..launch import THREADS, KernelLibrary, problem_arguments
from ..plan import Plan
from ..problem import ConvProblem
from ..tiles.untiled import direct


class DirectPlan(Plan):
    """Needs no workspace."""

    def __init__(self, problem: ConvProblem, kernels: KernelLibrary) -> None:
        self._kernels = kernels
        self._kernel = kernels.kernel("direct", direct(problem.is_general))
        _, pixels, _ = problem.gemm_shape
        self._grid = (-(-pixels // THREADS), problem.out_channels)
        self._sizes = problem_arguments(problem)

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self._kernels.launch(self._kernel, self._grid, THREADS, x, f, y, *self._sizes)


@register("direct")
class Direct(Algorithm):
    """One thread per output value, straight from X and F (cuda/direct.cu)."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        return DirectPlan(problem, require_kernels(kernels))

"""The depthwise convolution: each channel by itself, its windows' shared values in registers and shared memory."""

from __future__ import annotations

import torch

from ..algorithm import Algorithm, register, require_kernels
from ..launch import KernelLibrary, problem_arguments
from ..plan import Plan, UnsupportedError
from ..problem import ConvProblem
from ..tiles.depthwise import DepthwiseSchedule, choose_schedule
from .im2win_grouped import GroupedPlan, SingleKernelPlan


class DepthwisePlan(SingleKernelPlan):
    """Of a filter and a stride that have a kernel of their own."""

    def __init__(self, problem: ConvProblem, kernels: KernelLibrary, schedule: DepthwiseSchedule) -> None:
        """Raises UnsupportedError for a problem that is too large."""
        self._kernels, self._threads = kernels, schedule.threads
        self._kernel = kernels.kernel("im2win_depthwise", schedule.kernel.expression)
        self._shared_bytes = schedule.shared_bytes(problem)
        kernels.allow_shared(self._kernel, self._shared_bytes)
        self._sizes = (*schedule.arguments(problem), *problem_arguments(problem, windows=False))
        blocks = schedule.shares(problem)
        if schedule.stages > 1:
            blocks = min(blocks, kernels.resident_blocks(self._kernel, self._threads, self._shared_bytes))
        self._grid = (blocks,)


@register("im2win_depthwise")
class Im2winDepthwise(Algorithm):
    """Square filters of 3, 5 and 7 at stride 1 and 2 by kernels of their own (cuda/im2win_depthwise.cu).

    Others are taken by the grouped kernel for any filter, stride and dilation.
    """

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        kernels = require_kernels(kernels)
        if not problem.is_depthwise:
            raise UnsupportedError("it takes depthwise convolutions alone: as many groups as input channels")
        schedule = choose_schedule(problem, kernels.most_shared_bytes)
        return DepthwisePlan(problem, kernels, schedule) if schedule else GroupedPlan(problem, kernels)

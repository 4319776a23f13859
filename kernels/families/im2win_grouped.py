"""The grouped convolution: blocks that compute from planes of one group's channels in shared memory."""

from __future__ import annotations

from typing import Any

import torch

from ..algorithm import Algorithm, register, require_kernels
from ..launch import KernelLibrary, problem_arguments
from ..plan import Plan, UnsupportedError
from ..problem import ConvProblem
from ..tiles.grouped import GroupedSchedule, choose_schedule


class SingleKernelPlan(Plan):
    """One kernel, straight from X, F and Y. Needs no workspace."""

    _kernels: KernelLibrary
    _kernel: Any
    _grid: tuple[int, ...]
    _threads: int
    _shared_bytes: int
    #: The arguments behind the tensors.
    _sizes: tuple[int, ...]

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self._kernels.launch(
            self._kernel, self._grid, self._threads, x, f, y, *self._sizes, shared_bytes=self._shared_bytes
        )


class GroupedPlan(SingleKernelPlan):
    """Of groups with several channels, or of any filter."""

    def __init__(self, problem: ConvProblem, kernels: KernelLibrary, schedule: GroupedSchedule | None = None) -> None:
        """A rule chooses the schedule if none is given. Raises UnsupportedError for a problem that is too large."""
        schedule = schedule or choose_schedule(problem, kernels.multiprocessors)
        if schedule is None:
            raise UnsupportedError("the rows of X that an output needs do not fit into shared memory")
        self._kernels, self._threads = kernels, schedule.threads
        self._kernel = kernels.kernel("im2win_grouped", schedule.kernel.expression)
        self._shared_bytes = schedule.shared_bytes(problem)
        kernels.allow_shared(self._kernel, self._shared_bytes)
        sizes = (*schedule.arguments(problem), *schedule.tile.arguments())
        self._sizes = (*sizes, *problem_arguments(problem, windows=False))
        self._grid = (schedule.blocks(problem),)


@register("im2win_grouped")
class Im2winGrouped(Algorithm):
    """Several channels a group, of any filter, stride and dilation (cuda/im2win_grouped.cu)."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        kernels = require_kernels(kernels)
        if problem.groups == 1:
            raise UnsupportedError("it takes grouped convolutions alone: this one has a single group")
        if problem.is_depthwise:
            raise UnsupportedError("it takes groups of several input channels; im2win_depthwise takes those of one")
        return GroupedPlan(problem, kernels)

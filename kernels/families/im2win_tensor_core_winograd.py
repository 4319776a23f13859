"""Winograd's minimal filtering down the columns on Hopper's tensor cores, with error compensation: FP32-accurate.

docs/tensor_cores.md explains the method, its error and its guard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..algorithm import Algorithm, register, require_kernels
from ..launch import KernelLibrary
from ..plan import Epilogue, Plan, UnsupportedError, take_only
from ..problem import ConvProblem
from ..tiles.tensor_core import choices
from ..tiles.tensor_core_winograd import WINOGRAD_TILES, WinogradTile
from .im2win_tensor_core import SPECIAL_EXPONENT, TIMED, CompensatedPlan, filter_arguments, has_wgmma

#: By how much the transforms make a sum larger, as an exponent of two: the outputs' transform adds less than 2^5 times
#: the largest product, and a product's values are less than twice what the kernel scales.
_TRANSFORM_EXPONENT = 6

WinogradChoice = tuple[WinogradTile, int]


def exponent_limit(problem: ConvProblem) -> int:
    """As that of im2win_tensor_core; a sum is over the input channels and the filter's columns."""
    terms = math.ceil(math.log2(problem.in_channels * problem.kernel_w))
    return SPECIAL_EXPONENT - 1 - terms - _TRANSFORM_EXPONENT


class WinogradTensorCorePlan(CompensatedPlan):
    """Transforms the filter, too, before it splits it in `prepare`; `compute` transforms X as it gathers it, or before.

    The split filter is (outputs + kernel - 1) / kernel times as large as F but for padding, a window tensor in device
    memory (outputs + kernel - 1) / outputs times as large as X.
    """

    def __init__(
        self,
        problem: ConvProblem,
        device: torch.device,
        kernels: KernelLibrary,
        tile: WinogradTile,
        splits: int,
        others: Sequence[WinogradChoice] = (),
    ) -> None:
        """As CompensatedPlan."""
        if tile.places(problem) + tile.n >= 2**31:
            raise UnsupportedError("the problem has 2^31 or more of what the kernels count in 32 bits")
        super().__init__(problem, device, kernels, tile, splits, others, exponent_limit(problem))
        self._filter_kernel = kernels.kernel(tile.program, tile.filter_expression)
        self._filter_numbers = (tile.k_blocks(problem), *filter_arguments(problem))

    def fuse(self, epilogue: Epilogue) -> None:
        if self._splits == 1 and not self._tile.windows_in_memory:  # else the kernel does it, or what sums the parts
            raise UnsupportedError("the kernel has no registers left for an epilogue")
        self._epilogue = epilogue


@register("im2win_tensor_core_winograd")
class Im2winTensorCoreWinograd(Algorithm):
    """FP16 tensor cores with error compensation and fewer products (cuda/im2win_tensor_core_winograd.cu)."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        library = require_kernels(kernels)
        take_only(problem, padding=True)
        if not has_wgmma(device):
            raise UnsupportedError("it needs wgmma, which GPUs of compute capability 9.0 have")
        able = [tile for tile in WINOGRAD_TILES if tile.supports(problem)]
        if not able:
            raise UnsupportedError("it takes filters of 3 x 3 and 5 x 5 at stride 1")
        tiles = [tile for tile in able if tile.is_accurate(problem)]
        if not tiles:
            raise UnsupportedError(
                f"with {problem.in_channels} input channels its error would be larger than sequential FP32's"
            )
        estimated = choices(problem, library.multiprocessors, tiles)
        return WinogradTensorCorePlan(problem, device, library, *estimated[0], estimated[1:TIMED])

"""Winograd's minimal filtering down the columns on Hopper's tensor cores, with error compensation: FP32-accurate.

docs/tensor_cores.md explains the method, its error and its guard.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch

from ..algorithm import Algorithm, register, require_kernels
from ..launch import THREADS, KernelLibrary, problem_arguments
from ..plan import Epilogue, Plan, UnsupportedError, take_only
from ..problem import FLOAT_BYTES, ConvProblem
from ..tiles.division import division_numbers
from ..tiles.tensor_core import FILTER_PADDING, ROW_BYTES, choices
from ..tiles.tensor_core_winograd import WINOGRAD_TILES, WinogradTile
from .im2win_tensor_core import SPECIAL_EXPONENT, TensorCorePlan, has_wgmma

#: By how much the transforms make a sum larger, as an exponent of two: the outputs' transform adds less than 2^5 times
#: the largest product, and a product's values are less than twice what the kernel scales.
_TRANSFORM_EXPONENT = 6
#: How many of the tiles that are estimated to be the fastest are timed.
_TIMED = 8

WinogradChoice = tuple[WinogradTile, int]


def exponent_limit(problem: ConvProblem) -> int:
    """As that of im2win_tensor_core; a sum is over the input channels and the filter's columns."""
    terms = math.ceil(math.log2(problem.in_channels * problem.kernel_w))
    return SPECIAL_EXPONENT - 1 - terms - _TRANSFORM_EXPONENT


class WinogradTensorCorePlan(TensorCorePlan):
    """Transforms and splits the filter in `prepare`; `compute` transforms X as it gathers it.

    Workspace: the split filter, (outputs + kernel - 1) / kernel times F but for padding, its factors, and the
    partial results of a reduction in several parts.
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
        """As TensorCorePlan."""
        self._make_other: Callable[..., TensorCorePlan] = partial(WinogradTensorCorePlan, problem, device, kernels)
        self._others = others
        m, n, _ = problem.gemm_shape
        if FLOAT_BYTES * math.prod(problem.input_shape) >= 2**32:
            raise UnsupportedError("X has 4 GiB or more, which the kernel's 32-bit offsets do not reach")
        if tile.places(problem) + tile.n >= 2**31:
            raise UnsupportedError("the problem has 2^31 or more of what the kernels count in 32 bits")
        k_blocks, taps = tile.k_blocks(problem), tile.taps(problem)
        tiles_m, tiles_n = tile.tiles(problem)
        filter_rows = -(-problem.out_channels // FILTER_PADDING) * FILTER_PADDING
        multiprocessors = kernels.multiprocessors
        self._kernels = kernels
        self._transform_filter = kernels.kernel(tile.program, tile.filter_expression)
        self._sum_partials = kernels.kernel("tensor_core_filter", "sum_partials")
        self._convolve = kernels.kernel(tile.program, tile.expression(problem.is_padded))
        kernels.allow_shared(self._convolve, tile.shared_bytes)
        self._tile, self._splits, self._k_blocks = tile, splits, k_blocks
        self._grid = (min(tiles_m * tiles_n * splits, multiprocessors),)
        self._overlaps = kernels.fills_device(self._convolve, self._grid[0], tile.threads, tile.shared_bytes)
        self._filter_grid, self._sum_grid = (filter_rows,), (4 * multiprocessors,)
        self._sizes = problem_arguments(problem)
        self._tile_arguments = tile.arguments_of(problem)
        self._plan = (
            *(k_blocks, splits, exponent_limit(problem)),
            *(tiles_m, *division_numbers(tiles_m)),
            *(tiles_n, *division_numbers(tiles_n)),
            *self._sizes,
        )
        self._filter = torch.empty(k_blocks * taps * filter_rows * ROW_BYTES, dtype=torch.uint8, device=device)
        self._factors = torch.empty(m, device=device)
        self._constants = (self._filter, self._factors)
        self._epilogue = Epilogue()
        self._partials = torch.empty(splits * m * n if splits > 1 else 0, device=device)
        self.scratch = (self._partials,)
        self.workspace_bytes = sum(tensor.nbytes for tensor in (self._filter, self._factors, self._partials))

    def prepare(self, x: torch.Tensor, f: torch.Tensor) -> None:
        tensors = (f, self._filter, self._factors)
        self._kernels.launch(self._transform_filter, self._filter_grid, THREADS, *tensors, self._k_blocks, *self._sizes)


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
        return WinogradTensorCorePlan(problem, device, library, *estimated[0], estimated[1:_TIMED])

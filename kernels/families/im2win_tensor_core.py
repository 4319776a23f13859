"""The im2win convolution on tensor cores with error compensation: FP32-accurate, from pairs of FP16 values.

docs/tensor_cores.md explains the method, its error and its guard.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from ..algorithm import Algorithm, register, require_kernels
from ..launch import THREADS, KernelLibrary, problem_arguments
from ..plan import Epilogue, OverlappingPlan, Plan, UnsupportedError
from ..problem import FLOAT_BYTES, ConvProblem
from ..tiles.division import division_numbers
from ..tiles.tensor_core import (
    FILTER_PADDING,
    K_BLOCK,
    MMA_TILES,
    ROW_BYTES,
    WGMMA_TILES,
    Choice,
    TensorCoreTile,
    choices,
)
from ..tiles.tensor_core_sliding import MMA_SLIDING_TILES, SLIDING_TILES

#: Biased exponent of FP32's Inf and NaN.
SPECIAL_EXPONENT = 255


def window_offsets(problem: ConvProblem, taps: int = 1) -> np.ndarray:
    """Distance in bytes from a window's first value in X to its k-th, k = (c, u, v) as F has it, as 32-bit integers.

    With `taps` only those of every `taps`-th: with kernel_w those of the first columns, k = (c, u).

    Padded to whole K blocks by repeating the last one: the filter is zero there, and a value of the same window leaves
    the window's scale as it is. For the general kernels tables of bits follow, one for each K block: which of its
    values lie in the filter's first row, second row ..., and then in its first column, second column ...
    """
    c, u, v = (_whole_k_blocks(index[::taps]) for index in _filter_indices(problem))
    row_dilation, column_dilation = problem.dilation
    values = (c * problem.height + u * row_dilation) * problem.width + v * column_dilation
    offsets = (values * FLOAT_BYTES).astype(np.int32)
    if not problem.is_general:
        return offsets
    taps_of = [u == row for row in range(problem.kernel_h)] + [v == column for column in range(problem.kernel_w)]
    in_k_block = np.stack(taps_of).reshape(len(taps_of), -1, K_BLOCK)
    bits = (in_k_block.astype(np.uint64) << np.arange(K_BLOCK, dtype=np.uint64)).sum(axis=2)
    return np.concatenate([offsets, bits.T.astype(np.uint32).view(np.int32).ravel()])


def _filter_indices(problem: ConvProblem) -> np.ndarray:
    return np.indices((problem.group_in_channels, problem.kernel_h, problem.kernel_w)).reshape(3, -1)


def _whole_k_blocks(values: np.ndarray) -> np.ndarray:
    return np.pad(values, (0, -len(values) % K_BLOCK), mode="edge")


def exponent_limit(problem: ConvProblem) -> int:
    """The least biased exponent of X's values with which a sum over the reduction might overflow FP32.

    A sum is at most K times the largest value, since the filter is scaled to less than 1.
    """
    return SPECIAL_EXPONENT - 1 - math.ceil(math.log2(problem.gemm_shape[2]))


#: How many of the tiles that are estimated to be the fastest are timed.
TIMED = 8


class CompensatedPlan(OverlappingPlan):
    """Splits the filter in `prepare`; `compute` gathers windows from X, splits and multiplies them.

    That is one kernel, or two with a window tensor in between. Workspace: the split filter, its factors, tables that a
    kernel reads, the window tensor, and the partial results of a reduction in several parts.
    """

    #: The kernel that writes the split filter and its factors, and its arguments behind these tensors.
    _filter_kernel: Any
    _filter_numbers: tuple[int, ...]

    def __init__(
        self,
        problem: ConvProblem,
        device: torch.device,
        kernels: KernelLibrary,
        tile: TensorCoreTile,
        splits: int,
        others: Sequence[Choice],
        limit: int,
        tables: tuple[torch.Tensor, ...] = (),
    ) -> None:
        """`tile` is one that the device can run; the reduction is computed in `splits` parts.

        `autotune` tries the `others`, tiles and parts, too. `limit` is the least biased exponent of X's values with
        which a sum might overflow FP32. `tables` are constants that the kernel reads. Raises UnsupportedError for a
        problem that is too large.
        """
        self._make_other: Callable[..., CompensatedPlan] = partial(type(self), problem, device, kernels)
        self._others = others
        m, n, _ = problem.gemm_shape
        if FLOAT_BYTES * math.prod(problem.input_shape) >= 2**32:
            raise UnsupportedError("X has 4 GiB or more, which the kernel's 32-bit offsets do not reach")
        k_blocks, taps = tile.k_blocks(problem), tile.taps(problem)
        tiles_m, tiles_n = tile.tiles(problem)
        filter_rows = problem.groups * -(-problem.group_out_channels // FILTER_PADDING) * FILTER_PADDING
        multiprocessors = kernels.multiprocessors
        blocks = tiles_m * tiles_n * splits
        self._kernels = kernels
        self._is_general = problem.is_general
        self._convolve = kernels.kernel(tile.program, tile.expression(self._is_general))
        kernels.allow_shared(self._convolve, tile.shared_bytes)
        self._tile, self._splits = tile, splits
        self._grid = (min(blocks, multiprocessors) if tile.persistent else blocks,)
        self._overlaps = kernels.fills_device(self._convolve, self._grid[0], tile.threads, tile.shared_bytes)
        self._filter_grid = (filter_rows,)
        self._sizes = problem_arguments(problem)
        self._tile_arguments = tile.arguments_of(problem)
        # In the order of TENSOR_CORE_PARAMETERS in cuda/include/tensor_core.cuh, behind the epilogue.
        self._plan = (
            *(k_blocks, splits, limit),
            *(tiles_m, *division_numbers(tiles_m)),
            *(tiles_n, *division_numbers(tiles_n)),
            *self._sizes,
        )
        self._filter = torch.empty(
            k_blocks * taps * filter_rows * ROW_BYTES * (tile.parts - 1), dtype=torch.uint8, device=device
        )
        self._factors = torch.empty(m, device=device)
        self._tables = tables
        self._constants = (self._filter, self._factors, *tables)
        self._windows = torch.empty(tile.window_bytes(problem), dtype=torch.uint8, device=device)
        self._write_windows = None
        if tile.windows_in_memory:
            self._write_windows = kernels.kernel(tile.program, tile.windows_expression(problem))
            self._windows_grid = tile.windows_grid(problem)
            self._windows_numbers = (*tile.windows_numbers(problem), limit, *self._sizes)
        self._partials = torch.empty(splits * m * n if splits > 1 else 0, device=device)
        self._epilogue = Epilogue()
        self.scratch = (self._windows, self._partials)
        self.workspace_bytes = sum(tensor.nbytes for tensor in (*self._constants, *self.scratch))

    def prepare(self, x: torch.Tensor, f: torch.Tensor) -> None:
        tensors = (f, self._filter, self._factors)
        self._kernels.launch(self._filter_kernel, self._filter_grid, THREADS, *tensors, *self._filter_numbers)

    def autotune(
        self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, time: Callable[[Callable[[], None]], float]
    ) -> None:
        def run_time(plan: CompensatedPlan) -> float:
            plan.run(x, f, y)
            return time(partial(plan.run, x, f, y))

        self._kernels.load([(tile.program, tile.expression(self._is_general)) for tile, _ in self._others])
        fastest, least = self, run_time(self)
        for choice in self._others:
            other = self._make_other(*choice)
            if (taken := run_time(other)) < least:
                fastest, least = other, taken
        # This plan becomes the fastest one; what the others held is given back.
        self.__dict__.update(fastest.__dict__)

    def _multiply(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, overlap: bool) -> None:
        launch, in_parts = self._kernels.launch, self._splits > 1
        if self._write_windows:
            launch(
                *(self._write_windows, self._windows_grid, self._tile.windows_threads),
                *(x, *self._tables, self._windows),
                *self._windows_numbers,
                overlap=overlap,
            )
            overlap = self._overlaps
        windows = () if self._tile.windows_in_memory is None else (self._windows,)
        epilogue = (self._epilogue.bias, self._epilogue.residual, int(self._epilogue.relu))
        tensors = (x, f, *self._constants, *windows, self._partials if in_parts else y)
        numbers = (*self._tile_arguments, *((None, None, 0) if in_parts else epilogue), *self._plan)
        threads, shared = self._tile.threads, self._tile.shared_bytes
        launch(self._convolve, self._grid, threads, *tensors, *numbers, shared_bytes=shared, overlap=overlap)
        if in_parts:
            sum_partials(self._kernels, self._partials, y, self._epilogue, self._splits, self._sizes)


def sum_partials(
    kernels: KernelLibrary,
    partials: torch.Tensor,
    y: torch.Tensor,
    epilogue: Epilogue,
    count: int,
    sizes: Sequence[int],
) -> None:
    """Write the sum of `count` partial results into Y, with an epilogue; a single one may be Y itself.

    `sizes` are the `problem_arguments`.
    """
    kernel, grid = kernels.kernel("tensor_core_filter", "sum_partials"), (4 * kernels.multiprocessors,)
    arguments = (epilogue.bias, epilogue.residual, int(epilogue.relu), count, *sizes)
    kernels.launch(kernel, grid, THREADS, partials, y, *arguments)


class TensorCorePlan(CompensatedPlan):
    """Computes the products of im2col's GEMM; its table has the offsets of a window's values.

    The split filter is as large as F but for padding.
    """

    def __init__(
        self,
        problem: ConvProblem,
        device: torch.device,
        kernels: KernelLibrary,
        tile: TensorCoreTile,
        splits: int,
        others: Sequence[Choice] = (),
    ) -> None:
        """As CompensatedPlan."""
        taps = tile.taps(problem)
        offsets = torch.from_numpy(window_offsets(problem, taps)).to(device)
        super().__init__(problem, device, kernels, tile, splits, others, exponent_limit(problem), (offsets,))
        self._filter_kernel = kernels.kernel("tensor_core_filter", f"split_filter<{tile.parts}>")
        self._filter_numbers = (tile.k_blocks(problem) * taps, taps, *filter_arguments(problem))

    def fuse(self, epilogue: Epilogue) -> None:
        self._epilogue = epilogue


def filter_arguments(problem: ConvProblem) -> tuple[int, ...]:
    """The arguments of PROBLEM_PARAMETERS for a kernel that reads F alone: the same whatever it is applied to."""
    p = problem
    kernel = p.kernel_h, p.kernel_w
    applied_once = ConvProblem(1, p.in_channels, *kernel, p.out_channels, *kernel, groups=p.groups)
    return problem_arguments(applied_once, windows=False)


def has_wgmma(device: torch.device) -> bool:
    """Whether there is wgmma, an instruction of compute capability 9.0 alone (PTX ISA)."""
    return torch.cuda.get_device_capability(device) == (9, 0)


@register("im2win_tensor_core")
class Im2winTensorCore(Algorithm):
    """FP16 tensor cores with error compensation (cuda/im2win_tensor_core_*.cu): wgmma on Hopper, else mma.sync."""

    def _tiles(self, device: torch.device) -> tuple[TensorCoreTile, ...]:
        """The tiles that the device can run."""
        return (*WGMMA_TILES, *SLIDING_TILES) if has_wgmma(device) else (*MMA_TILES, *MMA_SLIDING_TILES)

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        library = require_kernels(kernels)
        # A sum over one K block is so short that sequential FP32 is as good as two parts; three are nearly correctly
        # rounded.
        parts = 3 if problem.gemm_shape[2] <= K_BLOCK else 2
        tiles = [tile for tile in self._tiles(device) if tile.parts == parts and tile.supports(problem)]
        estimated = choices(problem, library.multiprocessors, tiles)
        return TensorCorePlan(problem, device, library, *estimated[0], estimated[1:TIMED])


@register("im2win_tensor_core_mma")
class Im2winTensorCoreMma(Im2winTensorCore):
    """The kernels of mma.sync on any GPU: what `im2win_tensor_core` runs where there is no wgmma."""

    def _tiles(self, device: torch.device) -> tuple[TensorCoreTile, ...]:
        return (*MMA_TILES, *MMA_SLIDING_TILES)

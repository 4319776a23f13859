"""The im2win convolution: the paper's base version, its optimized version and that version's ablations."""

from __future__ import annotations

import torch

from kernels.algorithm import Algorithm, Plan, register, require_kernels
from kernels.launch import THREADS, KernelLibrary, problem_arguments
from kernels.problem import FLOAT_BYTES, ConvProblem
from kernels.programs import without_micro_kernel
from kernels.tile import TILE_WITHOUT_MICRO_KERNEL, Tile, choose_tile

#: Values of the window tensor that a block of the transform fills, at least: eight for each thread.
_TRANSFORM_VALUES = 8 * THREADS
#: Side of the square that a block of the filter's reordering transposes (SIDE in cuda/im2win_transform.cu).
_REORDER_SIDE = 32


class Im2winPlan(Plan):
    """Transforms X and reorders F in `prepare`; `compute` convolves them with one kernel.

    Workspace: the window tensor, 1/Wf of what im2col would need at stride 1 (section 3.1), and the reordered
    filter F'[k][co], both dimensions padded with zeros to whole tiles.
    """

    def __init__(
        self,
        problem: ConvProblem,
        device: torch.device,
        kernels: KernelLibrary,
        program: str,
        expression: str,
        grid: tuple[int, ...],
        threads: int,
        padding: tuple[int, int] = (1, 1),
    ) -> None:
        """`expression` names the kernel of `program` that `compute` launches with `grid` and `threads`.

        `padding` gives the multiples to which the filter's channels and its reduction are padded.
        """
        m, _, k = problem.gemm_shape
        padded_m, padded_k = _round_up(m, padding[0]), _round_up(k, padding[1])
        rows = problem.batch * problem.in_channels * problem.out_height
        rows_per_block = max(1, _TRANSFORM_VALUES // problem.window_tensor_shape[3])
        self._kernels = kernels
        self._transform = kernels.kernel("im2win_transform", "im2win_transform")
        self._reorder = kernels.kernel("im2win_transform", "filter_reorder")
        self._convolve = kernels.kernel(program, expression)
        self._grid, self._threads = grid, threads
        self._rows_per_block = rows_per_block
        self._transform_grid = (-(-rows // rows_per_block),)
        self._reorder_grid = (-(-padded_k // _REORDER_SIDE), -(-padded_m // _REORDER_SIDE))
        self._padded_m, self._padded_k = padded_m, padded_k
        self._sizes = problem_arguments(problem)
        self.window = torch.empty(problem.window_tensor_shape, device=device)
        self._filter = torch.empty((padded_k, padded_m), device=device)
        self.workspace_bytes = FLOAT_BYTES * (self.window.numel() + self._filter.numel())

    def prepare(self, x: torch.Tensor, f: torch.Tensor) -> None:
        launch = self._kernels.launch
        launch(self._transform, self._transform_grid, THREADS, x, self.window, self._rows_per_block, *self._sizes)
        padded = (self._padded_m, self._padded_k)
        launch(self._reorder, self._reorder_grid, THREADS, f, self._filter, *padded, *self._sizes)

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        sizes = (self._padded_m, *self._sizes)
        self._kernels.launch(self._convolve, self._grid, self._threads, self.window, self._filter, y, *sizes)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _tiled_plan(
    problem: ConvProblem, device: torch.device, kernels: KernelLibrary, program: str, expression: str, tile: Tile
) -> Plan:
    grid = (tile.blocks(problem),)
    return Im2winPlan(problem, device, kernels, program, expression, grid, tile.threads, (tile.m, tile.k))


@register("im2win_base")
class Im2winBase(Algorithm):
    """No optimization: one thread per output value over the window tensor (cuda/im2win_base.cu)."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        _, pixels, _ = problem.gemm_shape
        grid = (-(-pixels // THREADS), problem.out_channels)
        library = require_kernels(kernels)
        return Im2winPlan(problem, device, library, "im2win_base", "im2win_base", grid, THREADS)


@register("im2win")
@register("im2win_without_prefetch")
@register("im2win_without_vectorized_load")
class Im2win(Algorithm):
    """The tiled kernel with all optimizations, or the variant of the same name that lacks one."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        library = require_kernels(kernels)
        tile = choose_tile(problem, torch.cuda.get_device_properties(device).multi_processor_count)
        return _tiled_plan(problem, device, library, self.name, f"{self.name}<{tile.arguments}>", tile)


@register("im2win_without_micro_kernel")
class Im2winWithoutMicroKernel(Algorithm):
    """The tiled kernel with one output per thread (cuda/im2win_without_micro_kernel.cu)."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        library = require_kernels(kernels)
        return _tiled_plan(problem, device, library, self.name, without_micro_kernel(), TILE_WITHOUT_MICRO_KERNEL)

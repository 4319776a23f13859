"""The im2win transform of X, and the reordering of F that goes with it."""

from __future__ import annotations

import torch

from ..launch import KernelLibrary, problem_arguments
from ..problem import ConvProblem
from ..tiles.division import division_numbers
from ..tiles.tiled import Tile
from ..tiles.transform import REORDER_SIDE, REORDER_THREADS, im2win_transform, shared_bytes

#: Values of the window tensor that a block of the transform writes, about.
_TRANSFORM_VALUES = 4096


class FilterReorder:
    """The reordering of F into F'[k][co], both dimensions padded with zeros to whole tiles, ready to be launched.

    `by_columns` orders k as the window tensor does, else as X does.
    """

    def __init__(
        self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary, tile: Tile | None, by_columns: bool
    ) -> None:
        m, _, k = problem.gemm_shape
        self.channels = m if tile is None else -(-m // tile.m) * tile.m
        reduction = k if tile is None else tile.steps(problem) * tile.k
        self.filter = torch.empty((reduction, self.channels), device=device)
        self.squares = -(-reduction // REORDER_SIDE) * -(-self.channels // REORDER_SIDE)
        self.sizes = (int(by_columns), self.channels, reduction)
        self._problem = problem_arguments(problem)
        self._kernel = kernels.kernel("im2win_transform", "filter_reorder")
        self._kernels = kernels

    def __call__(self, f: torch.Tensor) -> None:
        sizes = (*self.sizes, *self._problem)
        self._kernels.launch(self._kernel, (self.squares,), REORDER_THREADS, f, self.filter, *sizes)


class Transform:
    """The im2win transform of X into the window tensor `window`, and of F by `reorder`, ready to be launched at once.

    Section 3.1.
    """

    def __init__(
        self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary, reorder: FilterReorder
    ) -> None:
        """Raises UnsupportedError if a block's shared memory cannot hold what a row of the window tensor needs of X."""
        batch, channels, out_height, row = problem.window_tensor_shape
        self.window = torch.empty(problem.window_tensor_shape, device=device)
        rows = max(1, _TRANSFORM_VALUES // row)
        self._grid = (reorder.squares + -(-batch * channels * out_height // rows),)
        self._kernel = kernels.kernel("im2win_transform", im2win_transform(problem))
        self._shared_bytes = shared_bytes(problem, rows)
        kernels.allow_shared(self._kernel, self._shared_bytes)
        self._kernels, self._reorder = kernels, reorder
        self._sizes = (rows, *division_numbers(problem.kernel_h), reorder.squares)
        self._problem = problem_arguments(problem)

    def __call__(self, x: torch.Tensor, f: torch.Tensor) -> None:
        self._kernels.launch(
            self._kernel,
            self._grid,
            REORDER_THREADS,
            x,
            self.window,
            *self._sizes,
            f,
            self._reorder.filter,
            *self._reorder.sizes,
            *self._problem,
            shared_bytes=self._shared_bytes,
        )

"""The fused im2win convolution with Winograd's minimal filtering down the columns: eight multiplications for 18."""

from __future__ import annotations

import torch

from ..algorithm import Algorithm, register, require_kernels
from ..launch import KernelLibrary, problem_arguments
from ..plan import OverlappingPlan, Plan, UnsupportedError, take_only
from ..problem import FLOAT_BYTES, ConvProblem
from ..tiles.tiled import VECTOR
from ..tiles.transform import REORDER_SIDE, REORDER_THREADS
from ..tiles.winograd import (
    STRIP_PRODUCTS,
    WINOGRAD_FILTER_PAD,
    WINOGRAD_TILE,
    choose_steps,
    prepares,
    strips_of,
    winograd,
)


class WinogradPlan(OverlappingPlan):
    """`compute` transforms X as it reads it, multiplies, and transforms the outputs back.

    F is transformed as it is read too or, if `prepared`, by `prepare`. Workspace: four bytes for each fix-up semaphore,
    and the prepared filter, 8/3 of F.
    """

    def __init__(
        self,
        problem: ConvProblem,
        device: torch.device,
        kernels: KernelLibrary,
        steps_per_block: int | None = None,
        prepared: bool | None = None,
    ) -> None:
        """A rule chooses what is not given. Raises UnsupportedError for a problem that the kernels do not take."""
        if (problem.kernel_h, problem.kernel_w, problem.stride) != (3, 3, (1, 1)):
            raise UnsupportedError("it takes filters of 3 x 3 at stride 1")
        take_only(problem, padding=True)
        of_problem = problem_arguments(problem)  # refuses what is too large
        strips, tile = strips_of(problem), WINOGRAD_TILE
        self._prepared = prepares(strips, kernels.multiprocessors) if prepared is None else prepared
        self._threads = STRIP_PRODUCTS * tile.threads
        self._kernels = kernels
        self._kernel = kernels.kernel("im2win_winograd", winograd(self._prepared, problem.is_padded))
        self._shared_bytes = (
            FLOAT_BYTES * tile.stages * tile.k * (STRIP_PRODUCTS * (tile.m + tile.n) + WINOGRAD_FILTER_PAD)
        )
        kernels.allow_shared(self._kernel, self._shared_bytes)
        resident = kernels.resident_blocks(self._kernel, self._threads, self._shared_bytes)
        tiles, steps = tile.blocks(strips), tile.steps(strips)
        steps_per_block = steps_per_block or choose_steps(strips, resident)
        channels, reduction = -(-problem.out_channels // tile.m) * tile.m, steps * tile.k
        if max(tiles * steps + steps_per_block, channels * reduction) >= 2**31:
            raise UnsupportedError("the problem has 2^31 or more of what the kernels count in 32 bits")
        warps, parts = self._threads // 32, tile.micro_m // VECTOR
        self._semaphores = torch.zeros(tiles * warps * parts, dtype=torch.int32, device=device)
        self.semaphores = (self._semaphores,)
        self._grid = (-(-tiles * steps // steps_per_block),)
        rows = problem.rows
        self._sizes = (steps_per_block, rows.size, rows.before, rows.outputs, *problem_arguments(strips))
        fills = kernels.fills_device(self._kernel, self._grid[0], self._threads, self._shared_bytes)
        self._overlaps = self._prepared and fills
        self.workspace_bytes = self._semaphores.nbytes
        if self._prepared:
            self._filter_kernel = kernels.kernel("im2win_winograd", "winograd_filter")
            self._filter = torch.empty(STRIP_PRODUCTS * channels * reduction, device=device)
            self._squares = (-(-reduction // REORDER_SIDE) * -(-channels // REORDER_SIDE),)
            # Neighbouring channels of a product in the filter's order are those of a part of the tile.
            self._filter_sizes = (tile.m, tile.m // parts, reduction, *of_problem)
            self.workspace_bytes += self._filter.nbytes

    def prepare(self, x: torch.Tensor, f: torch.Tensor) -> None:
        if self._prepared:
            tensors = (f, self._filter)
            self._kernels.launch(self._filter_kernel, self._squares, REORDER_THREADS, *tensors, *self._filter_sizes)

    def _multiply(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, overlap: bool) -> None:
        tensors = (x, self._filter if self._prepared else f, y, self._semaphores)
        shared = self._shared_bytes
        self._kernels.launch(
            self._kernel, self._grid, self._threads, *tensors, *self._sizes, shared_bytes=shared, overlap=overlap
        )


@register("im2win_winograd")
class Im2winWinograd(Algorithm):
    """The fused kernel with eight multiplications where it has 18 (cuda/im2win_winograd.cu)."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        return WinogradPlan(problem, device, require_kernels(kernels))

"""The fused im2win convolution with Winograd's minimal filtering down the columns: eight multiplications for 18."""

from __future__ import annotations

import torch

from kernels.algorithm import Algorithm, Plan, UnsupportedError, register, require_kernels
from kernels.im2win_transform import VECTOR
from kernels.launch import KernelLibrary, problem_arguments
from kernels.problem import FLOAT_BYTES, ConvProblem
from kernels.programs import winograd
from kernels.winograd_tile import PRODUCTS, WINOGRAD_TILE, choose_steps, strips_of

#: Floats between the end of a row of the filter's tile and the next (FILTER_PAD in cuda/im2win_winograd.cu).
_FILTER_PAD = 8


class WinogradPlan(Plan):
    """`compute` transforms F and X as it reads them, multiplies, and transforms the outputs back; nothing to prepare.

    Workspace: four bytes for each turn at a tile.
    """

    def __init__(
        self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary, steps_per_block: int | None = None
    ) -> None:
        """Without `steps_per_block` a rule chooses. Raises UnsupportedError for what the kernel cannot take."""
        if (problem.kernel_h, problem.kernel_w, problem.stride) != (3, 3, 1):
            raise UnsupportedError("it takes filters of 3 x 3 at stride 1")
        problem_arguments(problem)  # refuses what is too large
        strips, tile = strips_of(problem), WINOGRAD_TILE
        self._threads = PRODUCTS * tile.threads
        self._kernels = kernels
        self._kernel = kernels.kernel("im2win_winograd", winograd())
        self._shared_bytes = FLOAT_BYTES * tile.stages * tile.k * (PRODUCTS * (tile.m + tile.n) + _FILTER_PAD)
        kernels.allow_shared(self._kernel, self._shared_bytes)
        slots = kernels.slots(self._kernel, self._threads, self._shared_bytes)
        tiles, steps = tile.blocks(strips), tile.steps(strips)
        steps_per_block = steps_per_block or choose_steps(strips, slots)
        if tiles * steps + steps_per_block >= 2**31:
            raise UnsupportedError("the problem has 2^31 or more of what the kernels count in 32 bits")
        warps, parts = self._threads // 32, tile.micro_m // VECTOR
        self._turns = torch.zeros(tiles * warps * parts, dtype=torch.int32, device=device)
        self._grid = (-(-tiles * steps // steps_per_block),)
        self._sizes = (steps_per_block, problem.height, *problem_arguments(strips))
        self.workspace_bytes = self._turns.nbytes

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        tensors = (x, f, y, self._turns)
        self._kernels.launch(
            self._kernel, self._grid, self._threads, *tensors, *self._sizes, shared_bytes=self._shared_bytes
        )


@register("im2win_winograd")
class Im2winWinograd(Algorithm):
    """The fused kernel with eight multiplications where it has 18 (cuda/im2win_winograd.cu)."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        return WinogradPlan(problem, device, require_kernels(kernels))

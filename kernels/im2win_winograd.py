"""The fused im2win convolution with Winograd's minimal filtering down the columns: four multiplications for six."""

from __future__ import annotations

import torch

from kernels.algorithm import Algorithm, Plan, UnsupportedError, register, require_kernels
from kernels.im2win_transform import VECTOR
from kernels.launch import KernelLibrary, problem_arguments
from kernels.problem import FLOAT_BYTES, ConvProblem
from kernels.programs import winograd
from kernels.winograd_tile import PRODUCTS, WINOGRAD_TILE, choose_steps, pairs_of

#: FILTER_THREADS and SIDE in cuda/im2win_winograd.cu.
_FILTER_THREADS, _SIDE = 256, 32
#: Numbers of a warp that keep a tile's turns (PARTS in cuda/im2win_winograd.cu).
_PARTS = 4


class WinogradPlan(Plan):
    """Transforms F in `prepare`; `compute` transforms X as it reads it, multiplies, and transforms the outputs back.

    Workspace: the transformed filter, 4/3 of F, and four bytes for each turn at a tile.
    """

    def __init__(
        self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary, steps_per_block: int | None = None
    ) -> None:
        """Without `steps_per_block` a rule chooses. Raises UnsupportedError for what the kernel cannot take."""
        if (problem.kernel_h, problem.kernel_w, problem.stride) != (3, 3, 1):
            raise UnsupportedError("it takes filters of 3 x 3 at stride 1")
        problem_arguments(problem)  # refuses what is too large
        pairs, tile = pairs_of(problem), WINOGRAD_TILE
        threads = PRODUCTS * tile.threads
        self._kernels, self._threads = kernels, threads
        self._kernel = kernels.kernel("im2win_winograd", winograd())
        stages = tile.stages * PRODUCTS * tile.k * (tile.m + tile.n + VECTOR)
        self._shared_bytes = FLOAT_BYTES * max(stages, PRODUCTS * tile.m * tile.n)
        kernels.allow_shared(self._kernel, self._shared_bytes)
        slots = kernels.slots(self._kernel, threads, self._shared_bytes)
        tiles, steps = tile.blocks(pairs), tile.steps(pairs)
        steps_per_block = steps_per_block or choose_steps(pairs, slots)
        channels = -(-problem.out_channels // tile.m) * tile.m
        reduction = steps * tile.k
        if max(tiles * steps + steps_per_block, 2 * PRODUCTS * channels * reduction) >= 2**31:
            raise UnsupportedError("the problem has 2^31 or more of what the kernels count in 32 bits")
        self._filter_kernel = kernels.kernel("im2win_winograd", "winograd_filter")
        self._squares = -(-reduction // _SIDE) * -(-channels // _SIDE)
        self._filter = torch.empty((reduction, PRODUCTS * channels), device=device)
        self._turns = torch.zeros(tiles * threads // 32 * _PARTS, dtype=torch.int32, device=device)
        self._grid = (-(-tiles * steps // steps_per_block),)
        of_pairs = problem_arguments(pairs)
        # Neighbouring channels of a product in the filter's order: a group of each of a thread's rows.
        self._filter_sizes = (tile.m * VECTOR // tile.micro_m, channels, reduction, *of_pairs)
        self._sizes = (steps_per_block, channels, problem.height, *of_pairs)
        tensors = (self._filter, self._turns)
        self.workspace_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def prepare(self, x: torch.Tensor, f: torch.Tensor) -> None:
        self._kernels.launch(
            self._filter_kernel, (self._squares,), _FILTER_THREADS, f, self._filter, *self._filter_sizes
        )

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        tensors = (x, self._filter, y, self._turns)
        self._kernels.launch(
            self._kernel, self._grid, self._threads, *tensors, *self._sizes, shared_bytes=self._shared_bytes
        )


@register("im2win_winograd")
class Im2winWinograd(Algorithm):
    """The fused kernel with four multiplications where it has six (cuda/im2win_winograd.cu)."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        return WinogradPlan(problem, device, require_kernels(kernels))

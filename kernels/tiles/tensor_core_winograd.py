"""Tile shapes of the tensor-core convolution with Winograd's minimal filtering."""

from __future__ import annotations

from dataclasses import dataclass

from ..problem import FLOAT_BYTES, ConvProblem
from .division import division_numbers
from .tensor_core import (
    CONSUMER_WARPGROUPS,
    EPILOGUE_BYTES,
    EPILOGUE_COLUMNS,
    K_BLOCK,
    MAX_SHARED_BYTES,
    MAX_SHIFT,
    ROW_BYTES,
    TILE_ALIGNMENT,
    TensorCoreTile,
)

DEFINITIONS: dict[str, int] = {}

#: Rows of the filter -> of how many output rows a strip may have, and from how many input channels on its error stays
#: below sequential FP32's (docs/tensor_cores.md).
_LEAST_CHANNELS = {(3, 2): 16, (3, 3): 64, (3, 4): 64, (5, 2): 64, (5, 4): 96}


@dataclass(frozen=True)
class WinogradTile(TensorCoreTile):
    """Shape in cuda/im2win_tensor_core_winograd.cu: `n` positions, columns of strips of `outputs` rows."""

    outputs: int
    kernel_h: int

    @property
    def products(self) -> int:
        """Matrix products of a strip, for each column of the filter."""
        return self.outputs + self.kernel_h - 1

    @property
    def is_exact(self) -> bool:
        """Whether integers stay exact: the others' transforms of the filter have thirds."""
        return (self.outputs, self.kernel_h) == (2, 3)

    @property
    def filter_expression(self) -> str:
        """Name expression of the kernel that transforms and splits the filter."""
        return _filter_expression(self.outputs, self.kernel_h)

    def supports(self, problem: ConvProblem) -> bool:
        return (
            (problem.stride, problem.dilation, problem.groups) == ((1, 1), (1, 1), 1)
            and problem.kernel_h == self.kernel_h
            and problem.kernel_w - 1 <= MAX_SHIFT
        )

    def is_accurate(self, problem: ConvProblem) -> bool:
        """Whether the reduction is so long that the error stays below sequential FP32's."""
        return problem.in_channels >= _LEAST_CHANNELS[self.kernel_h, self.outputs]

    def taps(self, problem: ConvProblem) -> int:
        return self.products * problem.kernel_w

    def k_blocks(self, problem: ConvProblem) -> int:
        return -(-problem.in_channels // K_BLOCK)

    def tiles(self, problem: ConvProblem) -> tuple[int, int]:
        return self.tiles_m(problem), -(-self.positions(problem) // self.n)

    def arguments_of(self, problem: ConvProblem) -> tuple[int, ...]:
        numbers = (problem.columns.padded, self.strips(problem))
        return tuple(value for number in numbers for value in (number, *division_numbers(number)))

    def strips(self, problem: ConvProblem) -> int:
        """Strips of an image."""
        return -(-problem.out_height // self.outputs)

    def positions(self, problem: ConvProblem) -> int:
        return problem.batch * self.strips(problem) * problem.columns.padded


def _winograd(
    outputs: int, kernel_h: int, warpgroups_m: int, columns: int, stages: int, times: tuple[float, float]
) -> WinogradTile:
    """Two consumers, each 64 channels x `columns` positions; `stages` planes of the window tensor.

    The filter has the rest of shared memory.
    """
    producers, products = 1, outputs + kernel_h - 1
    consumers_n = CONSUMER_WARPGROUPS // warpgroups_m
    units = consumers_n * -(-(columns + MAX_SHIFT) // EPILOGUE_COLUMNS)
    windows = stages * units * EPILOGUE_COLUMNS * ROW_BYTES
    maxima = producers * 2 * products * 4 * FLOAT_BYTES
    factors = -(-stages * units // 2) * 2 * FLOAT_BYTES
    filter_tile, barrier_pair = 64 * warpgroups_m * ROW_BYTES, 16
    used = TILE_ALIGNMENT + windows + maxima + factors + EPILOGUE_BYTES + stages * barrier_pair
    filter_stages = min(8, (MAX_SHARED_BYTES - used) // (filter_tile + barrier_pair))
    return WinogradTile(
        program="im2win_tensor_core_winograd",
        arguments=f"{outputs}, {kernel_h}, {warpgroups_m}, {columns}, {producers}, {filter_stages}, {stages}",
        m=64 * warpgroups_m,
        n=columns * consumers_n,
        threads=128 * (CONSUMER_WARPGROUPS + producers + 1),
        shared_bytes=used + filter_stages * (filter_tile + barrier_pair),
        k_block_time=times[0],
        tile_time=times[1],
        parts=2,
        persistent=True,
        outputs=outputs,
        kernel_h=kernel_h,
    )


#: Their times are estimates, from those of the sliding kernel's tiles; the plan times the tiles themselves.
#: The positions and MAX_SHIFT more are whole groups of 32, or nearly.
WINOGRAD_TILES = (
    _winograd(2, 3, 2, 112, 8, (880, 5000)),
    _winograd(2, 3, 2, 88, 8, (720, 4200)),
    _winograd(2, 3, 1, 88, 6, (780, 5000)),
    _winograd(3, 3, 2, 80, 9, (680, 5200)),
    _winograd(3, 3, 1, 80, 6, (740, 6600)),
    _winograd(4, 3, 2, 64, 8, (620, 5500)),
    _winograd(4, 3, 1, 64, 6, (630, 7000)),
    _winograd(4, 3, 1, 56, 9, (560, 6000)),
    _winograd(2, 5, 2, 104, 8, (820, 4800)),
    _winograd(2, 5, 2, 88, 9, (720, 4200)),
    _winograd(4, 5, 2, 56, 12, (600, 5000)),
    _winograd(4, 5, 1, 56, 10, (560, 6000)),
)


def _filter_expression(outputs: int, kernel_h: int) -> str:
    return f"transform_filter<{outputs}, {kernel_h}>"


#: Program -> name expressions of its kernels.
INSTANCES = {
    "im2win_tensor_core_winograd": (
        *(tile.expression(general) for tile in WINOGRAD_TILES for general in (False, True)),
        *dict.fromkeys(tile.filter_expression for tile in WINOGRAD_TILES),
    ),
}

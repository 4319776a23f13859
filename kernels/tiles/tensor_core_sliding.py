"""Tile shapes of the tensor-core convolution in which windows slide over a window tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..problem import FLOAT_BYTES, ConvProblem
from .division import division_numbers
from .tensor_core import (
    CONSUMER_WARPGROUPS,
    EPILOGUE_BYTES,
    EPILOGUE_COLUMNS,
    FILTER_PADDING,
    MAX_SHARED_BYTES,
    MAX_WINDOW_BYTES,
    ROW_BYTES,
    TILE_ALIGNMENT,
    WINDOW_THREADS,
    TensorCoreTile,
    instances,
    window_buffer_bytes,
    window_factor_bytes,
)

#: Pipeline stages of the sliding kernel's window tensor, and by how many positions a window can reach beyond its first
#: column.
SLIDING_WINDOW_STAGES, MAX_SHIFT = 3, 8
#: Positions that a warp of the sliding mma.sync kernel gathers together, and that have one scale.
MMA_UNIT = 16

DEFINITIONS = {"SLIDING_WINDOW_STAGES": SLIDING_WINDOW_STAGES, "MAX_SHIFT": MAX_SHIFT, "MMA_UNIT": MMA_UNIT}


@dataclass(frozen=True, kw_only=True)
class SlidingTile(TensorCoreTile):
    """Shape in cuda/im2win_tensor_core_{sliding,mma_sliding}.cu.

    `n` counts positions: those of output rows, with what their windows need besides.
    """

    def supports(self, problem: ConvProblem) -> bool:
        channels = problem.group_out_channels
        has_whole_tiles = -(-channels // self.m) * self.m <= -(-channels // FILTER_PADDING) * FILTER_PADDING
        if self.windows_in_memory and (problem.groups > 1 or self.window_bytes(problem) > MAX_WINDOW_BYTES):
            return False
        return has_whole_tiles and _shifts(problem) <= MAX_SHIFT

    def taps(self, problem: ConvProblem) -> int:
        return problem.kernel_w

    def gathered_time(self, problem: ConvProblem) -> float:
        # To gather takes as long as to multiply for two taps.
        return max(self.taps(problem), 1 if self.windows_in_memory else 2) * self.k_block_time

    def tiles(self, problem: ConvProblem) -> tuple[int, int]:
        positions = problem.batch * problem.out_height * self.pitch(problem)
        return self.tiles_m(problem), -(-positions // self.n)

    def arguments_of(self, problem: ConvProblem) -> tuple[int, ...]:
        return *self._pitch_numbers(problem), *_tap_steps(problem)

    def pitch(self, problem: ConvProblem) -> int:
        """Positions of an output row: its outputs, and what the last one's window reaches beyond its first column."""
        return problem.out_width + _shifts(problem)

    def _pitch_numbers(self, problem: ConvProblem) -> tuple[int, ...]:
        return self.pitch(problem), *division_numbers(self.pitch(problem))

    @property
    def consumers_n(self) -> int:
        """Consumers beside each other along the positions."""
        return CONSUMER_WARPGROUPS * 64 // self.m

    @property
    def units(self) -> int:
        """Groups of positions in a tile's window tensor."""
        return self.consumers_n * -(-(self.n // self.consumers_n + MAX_SHIFT) // EPILOGUE_COLUMNS)

    def _buffers(self, problem: ConvProblem) -> int:
        """K blocks and phases."""
        return self.k_blocks(problem) * min(_tap_steps(problem)[0], problem.kernel_w)

    def window_bytes(self, problem: ConvProblem) -> int:
        if not self.windows_in_memory:
            return 0
        return self.tiles(problem)[1] * self._buffers(problem) * window_buffer_bytes(self.units)

    def windows_expression(self, problem: ConvProblem) -> str:
        return _windows_expression(problem.is_general)

    def windows_grid(self, problem: ConvProblem) -> tuple[int, int]:
        return -(-self.tiles(problem)[1] * self.units * 32 // WINDOW_THREADS), self._buffers(problem)

    def windows_numbers(self, problem: ConvProblem) -> tuple[int, ...]:
        units, k_blocks = self.tiles(problem)[1] * self.units, self.k_blocks(problem)
        tile = self.consumers_n, self.units // self.consumers_n, self.n // self.consumers_n
        return *tile, units, k_blocks, self._buffers(problem) // k_blocks, *self._pitch_numbers(problem)


def _windows_expression(general: bool) -> str:
    return f"write_windows<{int(general)}>"


def _tap_steps(problem: ConvProblem) -> tuple[int, int]:
    """How many columns of the filter the neighbours of a phase are apart, and how many positions their windows are."""
    columns = problem.columns
    common = math.gcd(columns.stride, columns.dilation)
    return columns.stride // common, columns.dilation // common


def _shifts(problem: ConvProblem) -> int:
    """By how many positions the windows of a phase reach beyond their first one at most."""
    step, shift = _tap_steps(problem)
    return (problem.kernel_w - 1) // step * shift


def _sliding(warpgroups_m: int, columns: int, producers: int, times: tuple[float, float]) -> SlidingTile:
    """Two consumers, each 64 channels x `columns` positions; without producers the windows are in device memory."""
    consumers_n = CONSUMER_WARPGROUPS // warpgroups_m
    units = consumers_n * -(-(columns + MAX_SHIFT) // EPILOGUE_COLUMNS)
    windows = SLIDING_WINDOW_STAGES * units * EPILOGUE_COLUMNS * ROW_BYTES
    factors = -(-SLIDING_WINDOW_STAGES * units // 2) * 2 * FLOAT_BYTES
    if producers == 0:
        factors = SLIDING_WINDOW_STAGES * window_factor_bytes(units)
    filter_tile, barrier_pair = 64 * warpgroups_m * ROW_BYTES, 16
    window_barriers = SLIDING_WINDOW_STAGES * barrier_pair
    left = MAX_SHARED_BYTES - TILE_ALIGNMENT - windows - factors - EPILOGUE_BYTES - window_barriers
    filter_stages = min(8, left // (filter_tile + barrier_pair))
    return SlidingTile(
        program="im2win_tensor_core_sliding",
        arguments=f"{warpgroups_m}, {columns}, {producers}, {filter_stages}",
        m=64 * warpgroups_m,
        n=columns * consumers_n,
        threads=128 * (CONSUMER_WARPGROUPS + max(1, producers)),
        shared_bytes=MAX_SHARED_BYTES - left + filter_stages * (filter_tile + barrier_pair),
        k_block_time=times[0],
        tile_time=times[1],
        parts=2,
        persistent=True,
        windows_in_memory=producers == 0,
    )


def _mma_sliding(
    m: int, n: int, warp_m: int, warp_n: int, blocks: int, halves: bool, times: tuple[float, float]
) -> SlidingTile:
    """A block of cuda/im2win_tensor_core_mma_sliding.cu; each warp computes `warp_m` channels x `warp_n` positions.

    `blocks` share a multiprocessor's registers; `halves` tells whether what is empty in the last K block is left out.
    """
    units = -(-(n + MAX_SHIFT) // MMA_UNIT)
    warps = m // warp_m * (n // warp_n)
    rings = 2 * ((units * MMA_UNIT + m) * ROW_BYTES + (n + MAX_SHIFT) * FLOAT_BYTES) + 2 * units * FLOAT_BYTES
    return SlidingTile(
        program="im2win_tensor_core_mma_sliding",
        arguments=f"{m}, {n}, {warp_m}, {warp_n}, {blocks}, {int(halves)}",
        m=m,
        n=n,
        threads=32 * warps,
        shared_bytes=rings,
        k_block_time=times[0],
        tile_time=times[1],
        parts=2,
        persistent=False,
    )


#: Their times are a fit to layers at batch 64 on an H200. The positions and MAX_SHIFT more are whole groups of 32.
SLIDING_TILES = (
    _sliding(1, 152, 2, (1240, 7000)),
    _sliding(1, 120, 2, (1000, 5200)),
    _sliding(1, 88, 2, (780, 4000)),
    _sliding(2, 184, 1, (1470, 8000)),
    _sliding(2, 152, 2, (1140, 6500)),
    _sliding(2, 120, 2, (910, 5500)),
    _sliding(2, 88, 2, (710, 4000)),
    _sliding(2, 152, 0, (690, 4400)),
    _sliding(2, 120, 0, (570, 3800)),
)
#: Their times are estimates.
MMA_SLIDING_TILES = (
    _mma_sliding(64, 112, 32, 56, 2, True, (350, 2000)),
    _mma_sliding(64, 224, 32, 56, 1, True, (680, 4000)),
    _mma_sliding(96, 80, 48, 40, 2, True, (380, 2000)),
    _mma_sliding(128, 112, 32, 56, 1, True, (680, 2500)),
)

#: Program -> name expressions of its kernels.
INSTANCES = {
    "im2win_tensor_core_sliding": (
        *instances(SLIDING_TILES),
        *(_windows_expression(general) for general in (False, True)),
    ),
    "im2win_tensor_core_mma_sliding": instances(MMA_SLIDING_TILES),
}

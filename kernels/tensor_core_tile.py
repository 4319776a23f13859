"""Tile shapes of the tensor-core convolution, and the choice among them for a problem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kernels.algorithm import UnsupportedError
from kernels.problem import FLOAT_BYTES, ConvProblem

#: Values of the reduction in a stage, and bytes of a row of its tile (STAGE_K, ROW_BYTES in cuda/tensor_core.cuh).
STAGE_K = 32
ROW_BYTES = 128
#: The split filter's output channels are padded to a multiple of this (FILTER_PADDING in cuda/tensor_core.cuh).
FILTER_PADDING = 128
#: What a block may have on Hopper.
MAX_SHARED_BYTES = 227 * 1024
#: Partial results of a reduction that is computed in parts may take this much.
MAX_PARTIAL_BYTES = 48 * 2**20


@dataclass(frozen=True)
class TensorCoreTile:
    """What one thread block computes at a time: `m` output channels x `n` pixels.

    `stage_time` is the time of one stage of the reduction, `tile_time` that of everything else a tile takes, both in
    clocks of an H100; only their ratios matter, to `choose`.
    """

    program: str
    arguments: str
    m: int
    n: int
    threads: int
    shared_bytes: int
    stage_time: float
    tile_time: float
    #: FP16 values that an FP32 value is split into.
    parts: int
    #: Blocks stay on their multiprocessor and take one tile after the other.
    persistent: bool

    @property
    def expression(self) -> str:
        """Name expression of the kernel."""
        return f"{self.program}<{self.arguments}>"

    def supports(self, problem: ConvProblem) -> bool:
        """Whether the kernel can compute the problem."""
        return True

    def taps(self, problem: ConvProblem) -> int:
        """How many matrix products each gathered stage serves."""
        return 1

    def stages(self, problem: ConvProblem) -> int:
        """Stages in which the windows are gathered."""
        return -(-problem.gemm_shape[2] // self.taps(problem) // STAGE_K)

    def tiles(self, problem: ConvProblem) -> tuple[int, int]:
        """Tiles of the output along the channels and along the pixels."""
        m, n, _ = problem.gemm_shape
        return -(-m // self.m), -(-n // self.n)

    def arguments_of(self, problem: ConvProblem) -> tuple[int, ...]:
        """What the kernel wants to know besides the plan's numbers."""
        return ()


@dataclass(frozen=True)
class SlidingTile(TensorCoreTile):
    """Shape in cuda/im2win_tensor_core_sliding.cu: eight output rows in each of some groups, and a piece of each row.

    A gathered stage, `pitch` columns of X for each row, serves all the taps along the filter's width. `columns` are
    multiplied for each consumer, in `line_groups` groups `pitch` apart.
    """

    lines: int
    columns: int
    pitch: int
    line_groups: int

    def supports(self, problem: ConvProblem) -> bool:
        touched = (self.columns - 1) * problem.stride + problem.kernel_w
        fits = problem.kernel_w <= self.pitch and touched <= self.pitch * self.line_groups
        return fits and (problem.stride == 1 or self.line_groups == 1)

    def taps(self, problem: ConvProblem) -> int:
        return problem.kernel_w

    def tiles(self, problem: ConvProblem) -> tuple[int, int]:
        blocks = -(-problem.batch * problem.out_height // self.lines)
        return -(-problem.out_channels // self.m), blocks * self.arguments_of(problem)[0]

    def arguments_of(self, problem: ConvProblem) -> tuple[int, ...]:
        """Pieces of an output row, and the outputs of each: as even as they can be."""
        of_last_group = self.columns - (self.line_groups - 1) * self.pitch
        most = min(of_last_group, (self.pitch - problem.kernel_w) // problem.stride + 1)
        pieces = -(-problem.out_width // most)
        return pieces, -(-problem.out_width // pieces)


def _wgmma(
    warpgroups_m: int, columns: int, producers: int, stages: int, times: tuple[float, float], parts: int = 2
) -> TensorCoreTile:
    """Shape in cuda/im2win_tensor_core_wgmma.cu: two consumers, each 64 channels x `columns` pixels."""
    m, n = 64 * warpgroups_m, columns * (2 // warpgroups_m)
    ring = stages * ((parts - 1) * (m + n) * ROW_BYTES + n * FLOAT_BYTES)
    barriers, alignment = 2 * stages * 8, 1024
    return TensorCoreTile(
        program="im2win_tensor_core_wgmma",
        arguments=f"{warpgroups_m}, {columns}, {producers}, {stages}, {parts}",
        m=m,
        n=n,
        threads=128 * (2 + producers),
        shared_bytes=ring + barriers + alignment,
        stage_time=times[0],
        tile_time=times[1],
        parts=parts,
        persistent=True,
    )


def _sliding(warpgroups_m: int, columns: int, pitch: int, line_groups: int, times: tuple[float, float]) -> SlidingTile:
    """Two consumers, each 64 channels x `columns` columns of eight lines."""
    groups = line_groups * (2 // warpgroups_m)
    window_stages, parts, chunks, column_bytes, alignment = 2, 2, 4, 9 * 16, 1024
    windows = window_stages * (parts * chunks * groups * pitch * column_bytes + groups * 8 * FLOAT_BYTES)
    filter_tile, barrier_pair = 64 * warpgroups_m * ROW_BYTES, 16
    left = MAX_SHARED_BYTES - alignment - windows - window_stages * barrier_pair
    filter_stages = min(12, left // (filter_tile + barrier_pair))
    return SlidingTile(
        program="im2win_tensor_core_sliding",
        arguments=f"{warpgroups_m}, {columns}, {pitch}, {line_groups}, {filter_stages}",
        m=64 * warpgroups_m,
        n=8 * columns * (2 // warpgroups_m),
        threads=512,
        shared_bytes=MAX_SHARED_BYTES - left + filter_stages * (filter_tile + barrier_pair),
        stage_time=times[0],
        tile_time=times[1],
        parts=parts,
        persistent=True,
        lines=8 * groups,
        columns=columns,
        pitch=pitch,
        line_groups=line_groups,
    )


def _mma(m: int, n: int, warp_m: int, warp_n: int, parts: int = 2) -> TensorCoreTile:
    """A block of cuda/im2win_tensor_core_mma.cu; each warp computes `warp_m` x `warp_n`."""
    return TensorCoreTile(
        program="im2win_tensor_core_mma",
        arguments=f"{m}, {n}, {warp_m}, {warp_n}, {parts}",
        m=m,
        n=n,
        threads=m // warp_m * (n // warp_n) * 32,
        shared_bytes=2 * ((parts - 1) * (m + n) * ROW_BYTES + n * FLOAT_BYTES),
        stage_time=6.0 * m * n / 128,
        tile_time=2000.0,
        parts=parts,
        persistent=False,
    )


#: Their times are a fit to the paper's layers at batch 64 on an H100.
WGMMA_TILES = (
    _wgmma(2, 192, 1, 4, (2770, 7300)),
    _wgmma(2, 160, 2, 5, (1710, 6900)),
    _wgmma(2, 144, 2, 5, (1700, 5400)),
    _wgmma(2, 128, 3, 5, (1360, 6000)),
    _wgmma(2, 128, 2, 5, (1500, 5400)),
    _wgmma(2, 112, 3, 6, (1280, 4700)),
    _wgmma(2, 96, 3, 6, (1110, 4000)),
    _wgmma(1, 128, 3, 4, (1820, 12800)),
    _wgmma(1, 112, 3, 5, (1570, 11000)),
    _wgmma(1, 96, 3, 6, (1410, 9300)),
    _wgmma(1, 64, 2, 6, (1180, 5100)),
    _wgmma(1, 64, 2, 4, (600, 5100), parts=3),
    _wgmma(1, 96, 2, 3, (900, 7800), parts=3),
)
#: (columns, pitch, groups of lines): for the widths of outputs that networks have; (13, 32) is for stride 2.
_SLIDING_SHAPES = (
    (20, 24, 1),
    (19, 21, 1),
    (18, 20, 1),
    (13, 15, 1),
    (13, 32, 1),
    (12, 14, 1),
    (10, 12, 1),
    (12, 7, 2),
)
#: Their times are not measured yet: those of the tensor cores, and a guess.
SLIDING_TILES = tuple(
    _sliding(warpgroups_m, *shape, (53.0 * shape[0], 3000.0 + 150 * shape[0]))
    for warpgroups_m in (1, 2)
    for shape in _SLIDING_SHAPES
)
MMA_TILES = (_mma(128, 64, 32, 32), _mma(64, 64, 32, 16), _mma(64, 64, 32, 16, parts=3))


def choose(problem: ConvProblem, multiprocessors: int, tiles: Sequence[TensorCoreTile]) -> tuple[TensorCoreTile, int]:
    """The one of `tiles` with the least estimated time, and into how many parts the reduction is split.

    Splitting fills a device that has too few tiles, at the price of writing and reading the partial results. Raises
    UnsupportedError where none of them can compute the problem.
    """
    m, n, _ = problem.gemm_shape
    partial_bytes = FLOAT_BYTES * m * n

    def cost(choice: tuple[TensorCoreTile, int]) -> float:
        tile, splits = choice
        rounds = -(-math.prod(tile.tiles(problem)) * splits // multiprocessors)
        stages = -(-tile.stages(problem) // splits) * tile.taps(problem)
        # A multiprocessor moves some 12 bytes a clock; a second kernel takes a few microseconds.
        partials = 4000.0 + 2 * splits * partial_bytes / multiprocessors / 12 if splits > 1 else 0.0
        return rounds * (stages * tile.stage_time + tile.tile_time) + partials

    def splits(tile: TensorCoreTile) -> range:
        return range(1, 1 + max(1, min(8, tile.stages(problem), MAX_PARTIAL_BYTES // partial_bytes)))

    able = [tile for tile in tiles if tile.supports(problem)]
    if not able:
        raise UnsupportedError(
            f"no tile of the kernel reaches a filter {problem.kernel_w} wide at stride {problem.stride}"
        )
    return min(((tile, parts) for tile in able for parts in splits(tile)), key=cost)

"""Tile shapes of the tensor-core convolution, and the choice among them for a problem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..problem import FLOAT_BYTES, ConvProblem

#: Values of the reduction in a K block, which fills a pipeline stage; and bytes of a row of its tile, two FP16 parts of
#: each value.
K_BLOCK = 32
ROW_BYTES = 2 * 2 * K_BLOCK
#: The split filter's output channels are padded to a multiple of this.
FILTER_PADDING = 128
#: Consumer warpgroups of a block.
CONSUMER_WARPGROUPS = 2
#: Swizzled tiles start at a multiple of so many bytes of shared memory.
TILE_ALIGNMENT = 1024
#: The epilogue's buffer of a consumer warp: 16 channels x EPILOGUE_COLUMNS, one column for each lane, and the pad of a
#: row.
EPILOGUE_COLUMNS, EPILOGUE_PAD = 32, 8
DEFINITIONS = {
    "K_BLOCK": K_BLOCK,
    "ROW_BYTES": ROW_BYTES,
    "FILTER_PADDING": FILTER_PADDING,
    "CONSUMER_WARPGROUPS": CONSUMER_WARPGROUPS,
    "TILE_ALIGNMENT": TILE_ALIGNMENT,
    "EPILOGUE_COLUMNS": EPILOGUE_COLUMNS,
    "EPILOGUE_PAD": EPILOGUE_PAD,
}

#: What a block may have on Hopper.
MAX_SHARED_BYTES = 227 * 1024
#: Partial results of a reduction that is computed in parts may take this much, and a window tensor this much.
MAX_PARTIAL_BYTES, MAX_WINDOW_BYTES = 48 * 2**20, 512 * 2**20
#: Threads of a block that writes a window tensor.
WINDOW_THREADS = 128
#: The buffer of a warp's epilogue, and those of all consumer warps.
_WARP_EPILOGUE_BYTES = 16 * (EPILOGUE_COLUMNS + EPILOGUE_PAD) * FLOAT_BYTES
EPILOGUE_BYTES = 4 * CONSUMER_WARPGROUPS * _WARP_EPILOGUE_BYTES


@dataclass(frozen=True, kw_only=True)
class TensorCoreTile:
    """What one thread block computes at a time: `m` output channels x `n` pixels.

    `k_block_time` is the time of one K block, `tile_time` that of everything else a tile takes, both in
    clocks of an H100; only their ratios matter, to `choose`.
    """

    program: str
    arguments: str
    m: int
    n: int
    threads: int
    shared_bytes: int
    k_block_time: float
    tile_time: float
    #: FP16 values that an FP32 value is split into.
    parts: int
    #: Blocks stay on their multiprocessor and take one tile after the other.
    persistent: bool
    #: Whether the window tensor is written to device memory beforehand. Else each block makes what it multiplies, which
    #: is made again for each tile of output channels, by threads whose registers sums could have. None: the kernel has
    #: no such form.
    windows_in_memory: bool | None = None

    def expression(self, general: bool) -> str:
        """Name expression of the kernel; `general` for padding, dilation or groups."""
        return f"{self.program}<{self.arguments}, {int(general)}>"

    def supports(self, problem: ConvProblem) -> bool:
        """Whether the kernel can compute the problem."""
        return True

    def taps(self, problem: ConvProblem) -> int:
        """How many matrix products each gathered K block serves."""
        return 1

    def k_blocks(self, problem: ConvProblem) -> int:
        """K blocks in which the windows are gathered."""
        return -(-problem.gemm_shape[2] // self.taps(problem) // K_BLOCK)

    def tiles(self, problem: ConvProblem) -> tuple[int, int]:
        """Tiles of the output along the channels and along the pixels."""
        return self.tiles_m(problem), -(-problem.gemm_shape[1] // self.n)

    def tiles_m(self, problem: ConvProblem) -> int:
        """Tiles along the output channels: each group has whole ones."""
        return problem.groups * -(-problem.group_out_channels // self.m)

    def arguments_of(self, problem: ConvProblem) -> tuple[int, ...]:
        """What the kernel wants to know besides the plan's numbers."""
        return ()

    def gathered_time(self, problem: ConvProblem) -> float:
        """Estimated time of what is gathered at one time, in clocks."""
        return self.taps(problem) * self.k_block_time

    def window_bytes(self, problem: ConvProblem) -> int:
        """Of the window tensor in device memory, if there is one."""
        return 0

    def windows_expression(self, problem: ConvProblem) -> str:
        """Name expression of the kernel that writes it."""
        raise NotImplementedError

    def windows_grid(self, problem: ConvProblem) -> tuple[int, int]:
        """Blocks of that kernel."""
        raise NotImplementedError

    @property
    def windows_threads(self) -> int:
        """Threads of each."""
        return WINDOW_THREADS

    def windows_numbers(self, problem: ConvProblem) -> tuple[int, ...]:
        """What that kernel wants to know first."""
        raise NotImplementedError


def window_buffer_bytes(units: int) -> int:
    """A tile's part of a window tensor in device memory for one K block: the planes, and behind them the factors."""
    return units * EPILOGUE_COLUMNS * ROW_BYTES + window_factor_bytes(units)


def window_factor_bytes(units: int) -> int:
    """Of the factors, in whole 16 bytes."""
    return -(-units * FLOAT_BYTES // 16) * 16


def _wgmma(
    warpgroups_m: int, columns: int, producers: int, stages: int, times: tuple[float, float], parts: int = 2
) -> TensorCoreTile:
    """Shape in cuda/im2win_tensor_core_wgmma.cu: two consumers, each 64 channels x `columns` pixels."""
    m, n = 64 * warpgroups_m, columns * (CONSUMER_WARPGROUPS // warpgroups_m)
    ring = stages * ((parts - 1) * (m + n) * ROW_BYTES + n * FLOAT_BYTES)
    losses = -(-stages * -(-n // 32) // 2) * 2 * 4
    column_sums = CONSUMER_WARPGROUPS * 2 * columns * FLOAT_BYTES
    barriers = 2 * stages * 8
    return TensorCoreTile(
        program="im2win_tensor_core_wgmma",
        arguments=f"{warpgroups_m}, {columns}, {producers}, {stages}, {parts}",
        m=m,
        n=n,
        threads=128 * (CONSUMER_WARPGROUPS + producers),
        shared_bytes=ring + losses + column_sums + barriers + TILE_ALIGNMENT + EPILOGUE_BYTES,
        k_block_time=times[0],
        tile_time=times[1],
        parts=parts,
        persistent=True,
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
        k_block_time=6.0 * m * n / 128,
        tile_time=2000.0,
        parts=parts,
        persistent=False,
    )


#: Their times are a fit to the paper's layers at batch 64 on an H100.
WGMMA_TILES = (
    _wgmma(2, 192, 1, 4, (2770, 7300)),
    _wgmma(2, 160, 2, 5, (1710, 6900)),
    _wgmma(2, 144, 2, 5, (1700, 5400)),
    _wgmma(2, 128, 2, 5, (1500, 5400)),
    _wgmma(2, 112, 3, 6, (1280, 4700)),
    _wgmma(2, 96, 3, 6, (1110, 4000)),
    _wgmma(1, 112, 3, 5, (1570, 11000)),
    _wgmma(1, 96, 3, 6, (1410, 9300)),
    _wgmma(1, 64, 2, 6, (1180, 5100)),
    _wgmma(1, 64, 2, 4, (600, 5100), parts=3),
    _wgmma(1, 96, 2, 3, (900, 7800), parts=3),
)
MMA_TILES = (_mma(128, 64, 32, 32), _mma(64, 64, 32, 16), _mma(64, 64, 32, 16, parts=3))


def instances(tiles: Sequence[TensorCoreTile]) -> tuple[str, ...]:
    """Name expressions of the tiles' kernels."""
    return tuple(tile.expression(general) for tile in tiles for general in (False, True))


#: Program -> name expressions of its kernels.
INSTANCES = {
    "tensor_core_filter": ("split_filter<2>", "split_filter<3>", "sum_partials"),
    "im2win_tensor_core_wgmma": instances(WGMMA_TILES),
    "im2win_tensor_core_mma": instances(MMA_TILES),
}


#: A tile, and into how many parts the reduction is split.
Choice = tuple[TensorCoreTile, int]
SomeTile = TypeVar("SomeTile", bound=TensorCoreTile)


def choices(problem: ConvProblem, multiprocessors: int, tiles: Sequence[SomeTile]) -> list[tuple[SomeTile, int]]:
    """Each of `tiles` with the number of parts that takes the least estimated time, the fastest first.

    Splitting fills a device that has too few tiles, at the price of writing and reading the partial results.
    """
    m, n, _ = problem.gemm_shape
    partial_bytes = FLOAT_BYTES * m * n

    def memory_time(through_memory: int) -> float:
        # A multiprocessor moves some 12 bytes a clock; a second kernel takes a few microseconds.
        return 4000.0 + 2 * through_memory / multiprocessors / 12

    def cost(choice: tuple[SomeTile, int]) -> float:
        tile, splits = choice
        rounds = -(-math.prod(tile.tiles(problem)) * splits // (multiprocessors))
        k_blocks = -(-tile.k_blocks(problem) // splits)
        partials = memory_time(splits * partial_bytes) if splits > 1 else 0.0
        windows = memory_time(tile.window_bytes(problem)) if tile.window_bytes(problem) else 0.0
        return rounds * (k_blocks * tile.gathered_time(problem) + tile.tile_time) + partials + windows

    def splits(tile: TensorCoreTile) -> range:
        return range(1, 1 + max(1, min(8, tile.k_blocks(problem), MAX_PARTIAL_BYTES // partial_bytes)))

    return sorted((min(((tile, parts) for parts in splits(tile)), key=cost) for tile in tiles), key=cost)


#: Compute capability -> FP16 products with FP32 sums for one of FP32, in a multiprocessor and clock. FP32: 64 at 8.0,
#: else 128 (CUDA C++ Programming Guide, "Arithmetic Instructions", table of throughputs). Tensor cores: 1024 at 8.0,
#: 256 at 8.6, 8.9 and 12.0, 2048 at 9.0 (white papers of GA100, GA102, AD102, GB202 and GH100), at least so at 10.0.
#: Workstation GPUs of 8.6 and 8.9 have twice their GeForce cards' rate; the capability does not tell them apart.
_FP16_RATES = {(8, 0): 16, (8, 6): 2, (8, 9): 2, (9, 0): 16, (10, 0): 16, (12, 0): 2}


def pays(capability: tuple[int, int]) -> bool:
    """Whether three FP16 products take less time than one FP32 product on a GPU of this compute capability.

    One that is not listed is taken for the next lower one.
    """
    return _FP16_RATES[max((one for one in _FP16_RATES if one <= capability), default=(8, 0))] > 3

"""Tile shapes of the tensor-core convolution, and the choice among them for a problem."""

from __future__ import annotations

from dataclasses import dataclass

from kernels.problem import FLOAT_BYTES, ConvProblem

#: Values of the reduction in a stage, and bytes of a row of its tile (STAGE_K, ROW_BYTES in cuda/tensor_core.cuh).
STAGE_K = 32
ROW_BYTES = 128
#: The split filter's output channels are padded to a multiple of this (FILTER_PADDING in cuda/tensor_core.cuh).
FILTER_PADDING = 128
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

    def blocks(self, problem: ConvProblem) -> int:
        """Tiles of the output."""
        m, n, _ = problem.gemm_shape
        return -(-m // self.m) * -(-n // self.n)


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
MMA_TILES = (_mma(128, 64, 32, 32), _mma(64, 64, 32, 16), _mma(64, 64, 32, 16, parts=3))


def choose(problem: ConvProblem, multiprocessors: int, wgmma: bool) -> tuple[TensorCoreTile, int]:
    """The tile with the least estimated time, and into how many parts the reduction is split.

    `wgmma` says whether the device has that instruction. Splitting fills a device that has too few tiles, at the price
    of writing and reading the partial results.
    """
    m, n, k = problem.gemm_shape
    stages = -(-k // STAGE_K)
    partial_bytes = FLOAT_BYTES * m * n

    def cost(choice: tuple[TensorCoreTile, int]) -> float:
        tile, splits = choice
        rounds = -(-tile.blocks(problem) * splits // multiprocessors)
        # A multiprocessor moves some 12 bytes a clock; a second kernel takes a few microseconds.
        partials = 4000.0 + 2 * splits * partial_bytes / multiprocessors / 12 if splits > 1 else 0.0
        return rounds * (-(-stages // splits) * tile.stage_time + tile.tile_time) + partials

    # A sum of one stage is so short that sequential FP32 is as good as two parts; three are nearly correctly rounded.
    parts = 3 if stages == 1 else 2
    tiles = [tile for tile in (WGMMA_TILES if wgmma else MMA_TILES) if tile.parts == parts]
    most = max(1, min(8, stages, MAX_PARTIAL_BYTES // partial_bytes))
    return min(((tile, splits) for tile in tiles for splits in range(1, most + 1)), key=cost)

"""Tile shapes of the im2win convolution, and the choice among them for a problem."""

from __future__ import annotations

from dataclasses import dataclass

from kernels.problem import ConvProblem


@dataclass(frozen=True)
class Tile:
    """What one thread block computes: `m` output channels x `n` pixels, `k` of the reduction per step.

    Each thread computes `micro_m` x `micro_n` of the outputs. `efficiency` is the share of the FP32 peak that a
    full device of such blocks is expected to reach; only the ratio between tiles matters, to `choose_tile`.
    """

    m: int
    n: int
    k: int
    micro_m: int
    micro_n: int
    efficiency: float

    @property
    def threads(self) -> int:
        return self.m // self.micro_m * (self.n // self.micro_n)

    @property
    def arguments(self) -> str:
        """The CUDA template's arguments."""
        return f"{self.m}, {self.n}, {self.k}, {self.micro_m}, {self.micro_n}"

    def blocks(self, problem: ConvProblem) -> int:
        m, n, _ = problem.gemm_shape
        return -(-m // self.m) * -(-n // self.n)


#: The artifact's tile comes first; the others waste less where there are few output channels or few pixels.
TILES = (
    Tile(128, 128, 8, 8, 8, efficiency=1.0),
    Tile(96, 128, 8, 12, 4, efficiency=0.95),
    Tile(64, 128, 8, 8, 8, efficiency=0.95),
    Tile(64, 64, 8, 8, 4, efficiency=0.8),
)

#: Without a micro-kernel every output has a thread of its own: the largest block of 1024 threads, squared.
TILE_WITHOUT_MICRO_KERNEL = Tile(32, 32, 32, 1, 1, efficiency=1.0)


def choose_tile(problem: ConvProblem, multiprocessors: int) -> Tile:
    """The tile with the least estimated time on a device of that many multiprocessors.

    The estimate is the busiest multiprocessor's share of the blocks, times a block's work at its efficiency: it
    weighs the waste of the last, partly filled round against that of a small tile. It knows nothing of the inputs.
    """

    def cost(tile: Tile) -> float:
        rounds = -(-tile.blocks(problem) // multiprocessors)
        return rounds * tile.m * tile.n / tile.efficiency

    return min(TILES, key=cost)

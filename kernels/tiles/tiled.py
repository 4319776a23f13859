"""Tile shapes of the im2win convolution, how its blocks share the work, and the choice among both for a problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..problem import ConvProblem

#: Floats in a 16-byte access.
VECTOR = 4
#: Registers of a multiprocessor in all GPUs that the kernels run on (CUDA C++ Programming Guide, compute capabilities).
REGISTER_FILE = 65536
#: Micro-tiles of up to so many outputs count as small and as medium, and the registers that a thread with one needs;
#: with a larger one it needs MAX_REGISTERS, as many as a thread can have.
SMALL_MICRO_TILE, SMALL_TILE_REGISTERS = 32, 128
MEDIUM_MICRO_TILE, MEDIUM_TILE_REGISTERS = 64, 168
MAX_REGISTERS = 255

#: How many rows and columns a filter may have where the loaders look up which taps are padding: a bit of 32 for each,
#: those of the columns from bit COLUMN_TAPS on, and one bit that no window has.
COLUMN_TAPS, MAX_COLUMN_TAPS = 16, 15

DEFINITIONS = {
    "COLUMN_TAPS": COLUMN_TAPS,
    "VECTOR": VECTOR,
    "REGISTER_FILE": REGISTER_FILE,
    "SMALL_MICRO_TILE": SMALL_MICRO_TILE,
    "SMALL_TILE_REGISTERS": SMALL_TILE_REGISTERS,
    "MEDIUM_MICRO_TILE": MEDIUM_MICRO_TILE,
    "MEDIUM_TILE_REGISTERS": MEDIUM_TILE_REGISTERS,
    "MAX_REGISTERS": MAX_REGISTERS,
}


@dataclass(frozen=True)
class Tile:
    """What a thread block computes at one time: `m` output channels x `n` pixels, `k` of the reduction per step.

    Each thread computes `micro_m` x `micro_n` of the outputs; `stages` tiles are on their way through shared memory.
    """

    m: int
    n: int
    k: int
    micro_m: int
    micro_n: int
    stages: int

    @property
    def threads(self) -> int:
        return self.m // self.micro_m * (self.n // self.micro_n)

    @property
    def arguments(self) -> str:
        """The CUDA template's arguments."""
        return ", ".join(str(value) for value in self.values)

    @property
    def values(self) -> tuple[int, ...]:
        return (self.m, self.n, self.k, self.micro_m, self.micro_n, self.stages)

    @property
    def resident(self) -> int:
        """Blocks that share a multiprocessor: BLOCKS_PER_MULTIPROCESSOR in cuda/include/im2win_tile.cuh."""
        outputs = self.micro_m * self.micro_n
        registers = MAX_REGISTERS
        if outputs <= MEDIUM_MICRO_TILE:
            registers = SMALL_TILE_REGISTERS if outputs <= SMALL_MICRO_TILE else MEDIUM_TILE_REGISTERS
        return max(1, REGISTER_FILE // (self.threads * registers))

    @property
    def semaphores(self) -> int:
        """Fix-up semaphores of a tile whose blocks share it: one for each warp and each VECTOR of a thread's rows."""
        return self.threads // 32 * max(1, self.micro_m // VECTOR)

    def blocks(self, problem: ConvProblem) -> int:
        """Tiles that cover the output."""
        m, n, _ = problem.gemm_shape
        return -(-m // self.m) * -(-n // self.n)

    def steps(self, problem: ConvProblem) -> int:
        """Steps through the reduction of one tile."""
        return -(-problem.gemm_shape[2] // self.k)


#: Micro-tiles of 16 x 8 read the least shared memory for their arithmetic; smaller ones leave room for more threads,
#: which pays where the reduction is short and the time goes into beginning and ending tiles; those of 16 x 4 store the
#: longest runs of neighbouring outputs (cuda/micro_kernel.cuh).
TILES = (
    Tile(128, 64, 8, 16, 8, 3),
    Tile(128, 128, 8, 16, 8, 3),
    Tile(64, 128, 8, 16, 8, 3),
    Tile(96, 128, 8, 12, 8, 3),
    Tile(96, 128, 16, 12, 8, 2),
    Tile(64, 128, 8, 8, 8, 3),
    Tile(64, 64, 8, 8, 8, 3),
    Tile(64, 64, 8, 8, 4, 3),
    Tile(64, 128, 8, 16, 4, 3),
)

#: Tiles that the blocks of a cluster share, and how many blocks (cuda/im2win_fused_cluster.cu). They are small, since
#: problems that have many tiles do not need them.
CLUSTER_TILES = (Tile(64, 64, 8, 8, 4, 3), Tile(64, 128, 8, 8, 8, 3))
CLUSTER_BLOCKS = (2, 4, 8)

#: Without a micro-kernel every output has a thread of its own: the largest block of 1024 threads, squared.
TILE_WITHOUT_MICRO_KERNEL = Tile(32, 32, 32, 1, 1, 3)

#: How the fused kernel's warps copy from X: 8 values of the reduction x 4 pixels at a time, or 1 x 32.
LOADERS = ("WindowLoader", "PixelLoader")

#: A kernel of its own for short reductions (cuda/im2win_fused_resident.cu): what it is called where a loader is named,
#: its tile, and how many values of the reduction it takes.
RESIDENT_FILTER = "ResidentFilter"
RESIDENT_TILE, RESIDENT_VALUES = Tile(64, 256, 28, 16, 4, 2), 27
#: What the fused kernel can be run with.
FUSED_LOADERS = (*LOADERS, RESIDENT_FILTER)


def takes_resident(problem: ConvProblem) -> bool:
    """Whether the kernel for short reductions can compute this problem: it stores four pixels of an image at a time."""
    return problem.gemm_shape[2] <= RESIDENT_VALUES and problem.out_height * problem.out_width % 4 == 0


def fits(loader: str, tile: Tile, padded: bool = False) -> bool:
    """Whether the fused kernel is compiled with this loader: each of PixelLoader's threads keeps to one pixel.

    For `padded` inputs WindowLoader alone is: PixelLoader is never faster by much, and compiling takes long.
    """
    if loader == RESIDENT_FILTER:
        return tile == RESIDENT_TILE
    return loader == "WindowLoader" or (tile.threads % tile.n == 0 and not padded)


@dataclass(frozen=True)
class Schedule:
    """A tile, and how the tiles' steps are shared among the blocks.

    `waves` is 0 for one tile per block. Otherwise all blocks do equally many steps, and there are `waves` times as many
    blocks as the device holds at one time. `loader` and `cluster` matter to the fused kernel alone: `cluster` blocks
    compute each tile side by side, if more than one.
    """

    tile: Tile
    waves: float
    loader: str = "WindowLoader"
    cluster: int = 1

    def steps_per_block(self, problem: ConvProblem, resident_blocks: int) -> int:
        """Steps of the reduction that a block does, if so many blocks are resident on the device at once."""
        steps = self.tile.steps(problem)
        if self.waves == 0:
            return steps
        return max(1, -(-self.tile.blocks(problem) * steps // max(1, int(resident_blocks * self.waves))))

    def to_parameters(self) -> dict[str, Any]:
        of_cluster = {"cluster": self.cluster} if self.cluster > 1 else {}
        return {"tile": list(self.tile.values), "waves": self.waves, "loader": self.loader, **of_cluster}

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Schedule:
        """The inverse of `to_parameters`. Raises ValueError, with the choices, if no such kernel is compiled."""
        tile, loader, cluster = Tile(*parameters["tile"]), parameters["loader"], parameters.get("cluster", 1)
        if (tile, loader) == (RESIDENT_TILE, RESIDENT_FILTER):
            return RESIDENT
        tiles = TILES if cluster == 1 else CLUSTER_TILES if cluster in CLUSTER_BLOCKS else ()
        if tile not in tiles or loader not in LOADERS or not fits(loader, tile):
            known = "; ".join(f"[{tile.arguments}]" for tile in TILES)
            raise ValueError(
                f"no kernel is compiled for tile [{tile.arguments}] with {loader} and clusters of {cluster}; tiles are "
                f"{known}, loaders {', '.join(FUSED_LOADERS)}, clusters 1 and on some tiles "
                f"{', '.join(map(str, CLUSTER_BLOCKS))}: tune again (make tune), or delete the entry, "
                "and a rule chooses"
            )
        return cls(tile, float(parameters["waves"]), loader, cluster)


#: Blocks that stay: one on each multiprocessor.
RESIDENT = Schedule(RESIDENT_TILE, 1, RESIDENT_FILTER)


def candidates(
    problem: ConvProblem, multiprocessors: int, loaders: tuple[str, ...], clusters: bool = False
) -> list[Schedule]:
    """What is worth trying for a problem: all tiles, each with one tile per block and with the steps shared out.

    With `clusters` also few tiles that blocks share side by side, which takes compute capability 9.0.
    """
    found = []
    for tile in TILES:
        if tile.m >= 2 * problem.out_channels and tile.m > min(t.m for t in TILES):
            continue
        for loader in loaders:
            if not fits(loader, tile, problem.is_padded):
                continue
            rounds = tile.blocks(problem) / (multiprocessors * tile.resident)
            if rounds > 0.5:
                found.append(Schedule(tile, 0, loader))
            if rounds < 16:
                found += [Schedule(tile, waves, loader) for waves in ((0.5, 1) if rounds < 1 else (1, 2))]
            # With fewer blocks, fewer wait at a tile's semaphores.
            found += [Schedule(tile, waves, loader) for waves in (0.125, 0.25) if rounds < waves]
            if clusters and tile in CLUSTER_TILES:
                few = (blocks for blocks in CLUSTER_BLOCKS if rounds * blocks <= 2 and tile.steps(problem) >= blocks)
                found += [Schedule(tile, 0, loader, blocks) for blocks in few]
    if RESIDENT_FILTER in loaders and takes_resident(problem):
        found.append(RESIDENT)
    return found


def choose_schedule(
    problem: ConvProblem, multiprocessors: int, fused: bool = False, clusters: bool = False
) -> Schedule:
    """The schedule with the least estimated time on a device of that many multiprocessors.

    Its place is taken by a stored winner where one was measured (see workflow/tune.py). For short reductions the
    `fused` kernel has one that needs no estimate: it is taken where its blocks have several tiles each. The estimate
    is what the busiest multiprocessor does: multiply-adds, at the rate that the micro-tile reaches, and a tile's
    beginning and end, which take as long as a constant number of values of the reduction, more where fewer blocks
    share the multiprocessor. It knows nothing of the inputs.
    """

    if fused and takes_resident(problem) and RESIDENT_TILE.blocks(problem) >= 4 * multiprocessors:
        return RESIDENT

    def cost(schedule: Schedule) -> float:
        tile = schedule.tile
        # A larger cluster waits until there is room for all of it in one part of the GPU.
        resident = int(multiprocessors * tile.resident * (0.9 if schedule.cluster > 2 else 1))
        per_block = schedule.steps_per_block(problem, resident)
        blocks = -(-tile.blocks(problem) * tile.steps(problem) // per_block) * schedule.cluster
        per_block = -(-per_block // schedule.cluster)
        rounds = -(-blocks // resident)
        large = tile.micro_m * tile.micro_n > 64
        tiles_per_block = max(1, per_block / tile.steps(problem))
        efficiency = 0.8 if tile.micro_n < 8 else 0.95 if not large else 0.97 if tile.m * tile.n > 96 * 128 else 1.0
        # Blocks that share a tile add to it one after the other, but for those of a cluster.
        fix_ups = float(schedule.cluster > 1) if schedule.waves == 0 else tile.steps(problem) / per_block
        overhead = (48 if large else 24) * tiles_per_block + (64 if large else 32) * fix_ups
        return rounds * tile.resident * (per_block * tile.k + overhead) * tile.m * tile.n / efficiency

    return min(candidates(problem, multiprocessors, ("WindowLoader",), fused and clusters), key=cost)


def without_micro_kernel() -> str:
    """Name expression of the kernel with one output per thread."""
    tile = TILE_WITHOUT_MICRO_KERNEL
    return f"im2win_without_micro_kernel<{tile.m}, {tile.n}, {tile.k}, {tile.stages}>"


def fused(loader: str, tile: Tile, padded: bool) -> str:
    """Name expression of the fused kernel; `padded` if windows may reach beyond X."""
    return f"im2win_fused<{loader}, {int(padded)}, {tile.arguments}>"


def fused_cluster(blocks: int, loader: str, tile: Tile, padded: bool) -> str:
    """Name expression of the fused kernel whose tiles are shared by clusters of `blocks`; `padded` as for `fused`."""
    return f"im2win_fused_cluster<{blocks}, {loader}, {int(padded)}, {tile.arguments}>"


def fused_resident(edge: bool, padded: bool) -> str:
    """Name expression of the fused kernel for short reductions; `padded` as for `fused`.

    `edge` if a tile has channels beyond the output.
    """
    tile = RESIDENT_TILE
    sizes = f"{tile.m}, {tile.n}, {RESIDENT_VALUES}, {tile.micro_m}, {tile.micro_n}"
    return f"im2win_fused_resident<{sizes}, {int(edge)}, {int(padded)}>"


_EITHER = (False, True)


#: The programs that are compiled for every one of TILES.
_TILED = (
    "im2win",
    "im2win_without_prefetch",
    "im2win_without_double_buffering",
    "im2win_without_vectorized_load",
    "im2win_without_shared_memory",
)
#: Program -> name expressions of its kernels.
INSTANCES: dict[str, tuple[str, ...]] = {
    **{kernel: tuple(f"{kernel}<{tile.arguments}>" for tile in TILES) for kernel in _TILED},
    "im2win_without_micro_kernel": (without_micro_kernel(),),
    "im2win_fused": tuple(
        fused(loader, tile, padded)
        for loader in LOADERS
        for tile in TILES
        for padded in _EITHER
        if fits(loader, tile, padded)
    ),
    "im2win_fused_cluster": tuple(
        fused_cluster(blocks, loader, tile, padded)
        for blocks in CLUSTER_BLOCKS
        for loader in LOADERS
        for tile in CLUSTER_TILES
        for padded in _EITHER
        if fits(loader, tile, padded)
    ),
    "im2win_fused_resident": tuple(fused_resident(edge, padded) for edge in _EITHER for padded in _EITHER),
}

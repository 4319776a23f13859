"""The instances of the depthwise kernel, and how a block's threads share planes (cuda/im2win_depthwise.cu)."""

from __future__ import annotations

from dataclasses import dataclass

from kernels.problem import FLOAT_BYTES, ConvProblem
from kernels.tiles.planes import SHARED_BYTES, WARP, PlaneTile, bank_passes, plane_tile, spread_tile
from kernels.tiles.tiled import VECTOR

#: The most threads of a block, and how many such blocks a multiprocessor must have registers for: 128 a thread.
DEPTHWISE_THREADS, DEPTHWISE_BLOCKS = 256, 2

DEFINITIONS = {"DEPTHWISE_THREADS": DEPTHWISE_THREADS, "DEPTHWISE_BLOCKS": DEPTHWISE_BLOCKS}

#: Threads of a block if it can be had: the second, unless it would need more bytes of shared memory than this. Small
#: blocks, and many of them: while one loads, others compute and store.
_THREADS, _BLOCK_BYTES = (32, 64), 28 * 1024


@dataclass(frozen=True)
class DepthwiseKernel:
    """A kernel for filters of `kernel` x `kernel`, whose threads compute `rows` x `columns` outputs each."""

    kernel: int
    stride: int
    rows: int
    columns: int

    @property
    def expression(self) -> str:
        """Its name expression."""
        return f"im2win_depthwise<{self.kernel}, {self.stride}, {self.rows}, {self.columns}>"

    def takes(self, problem: ConvProblem) -> bool:
        """Whether it is made for this filter, and the threads of a block suffice for a row."""
        kernel, stride = (self.kernel, self.kernel), (self.stride, self.stride)
        of_problem = (problem.kernel_h, problem.kernel_w), problem.stride, problem.dilation
        return of_problem == (kernel, stride, (1, 1)) and -(-problem.out_width // self.columns) <= DEPTHWISE_THREADS

    def work(self, problem: ConvProblem) -> int:
        """Outputs that it computes of a plane, those beyond its ends included."""
        return self.rows * -(-problem.out_height // self.rows) * self.columns * -(-problem.out_width // self.columns)


#: The planes of most networks have 7 x 2^n rows and columns; the other ones have powers of two.
KERNELS = tuple(
    DepthwiseKernel(kernel, stride, rows, columns)
    for kernel, stride in ((3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2))
    for rows, columns in (((7, 7), (4, 5)) if stride == 1 else ((7, 7),))
)
#: Program -> name expressions of its kernels.
INSTANCES = {"im2win_depthwise": tuple(kernel.expression for kernel in KERNELS)}


@dataclass(frozen=True)
class DepthwiseSchedule:
    """How a block shares the work: `planes` planes of Y, or one of `bands` parts of one."""

    kernel: DepthwiseKernel
    planes: int
    bands: int
    #: Threads of a plane's tile, down and across.
    strips: int
    across: int
    tile: PlaneTile

    @property
    def threads(self) -> int:
        return -(-self.planes * self.strips * self.across // WARP) * WARP

    @property
    def shared_bytes(self) -> int:
        """The filters, and the tile or the outputs; what is read for outputs that are not stored is part of it."""
        stride, tile = self.kernel.stride, self.tile
        last_row = (self.strips * self.kernel.rows - 1) * stride + self.kernel.kernel - 1
        last_column = (self.across * self.kernel.columns - 1) * stride + self.kernel.kernel - 1
        read = ((tile.planes - 1) * tile.plane_rows + last_row) * tile.pitch + tile.early + last_column + 1
        staged = self.planes * tile.rows * tile.columns + VECTOR
        filters = -(-self.planes * self.kernel.kernel**2 // VECTOR) * VECTOR
        return FLOAT_BYTES * (filters + max(tile.cells, read, staged))


def choose_schedule(problem: ConvProblem) -> DepthwiseSchedule | None:
    """That of the kernel which computes the fewest outputs in vain; None if none is made for this filter and stride."""
    able = [kernel for kernel in KERNELS if kernel.takes(problem)]
    for kernel in sorted(able, key=lambda kernel: (kernel.work(problem), -kernel.rows * kernel.columns)):
        few, many = (schedule_of(problem, kernel, threads) for threads in _THREADS)
        schedule = many if many.shared_bytes <= _BLOCK_BYTES else few
        if schedule.shared_bytes <= SHARED_BYTES:
            return schedule
    return None


def schedule_of(problem: ConvProblem, kernel: DepthwiseKernel, threads: int) -> DepthwiseSchedule:
    """How blocks of about so many threads share the work of `kernel`."""
    all_planes = problem.batch * problem.out_channels
    all_strips, across = -(-problem.out_height // kernel.rows), -(-problem.out_width // kernel.columns)
    planes = min(max(1, threads // (all_strips * across)), all_planes)
    bands = -(-all_strips // max(1, threads // across))
    strips = -(-all_strips // bands)
    bands = -(-all_strips // strips)
    rows = min(strips * kernel.rows, problem.out_height)

    def passes(tile: PlaneTile) -> int:
        """Passes of a warp that reads the first value of each of its threads."""
        places = [(thread % across, thread // across % strips, thread // (across * strips)) for thread in range(WARP)]
        return bank_passes(
            (plane * tile.plane_rows + strip * kernel.rows * kernel.stride) * tile.pitch
            + group * kernel.columns * kernel.stride
            for group, strip, plane in places
            if plane < planes
        )

    # Planes of Y that share one of X may begin and end within it.
    inputs = min(planes, (planes - 1) // (problem.out_channels // problem.in_channels) + 2)
    tile = plane_tile(problem, inputs, rows, problem.out_width)
    tile = spread_tile(problem, tile, passes, tile.cells * 3 // 2)
    return DepthwiseSchedule(kernel, planes, bands, strips, across, tile)

"""The instances of the grouped kernel, and how its blocks share the work (cuda/im2win_grouped.cu)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..problem import FLOAT_BYTES, ConvProblem
from .division import division_numbers
from .planes import SHARED_BYTES, WARP, PlaneTile, bank_passes, plane_tile, spread_tile
from .tiled import VECTOR

#: The most threads of a block.
GROUPED_THREADS = 512

DEFINITIONS = {"GROUPED_THREADS": GROUPED_THREADS}

#: Bytes of a stage if one channel does not take more.
_STAGE_BYTES = 32 * 1024
#: The widest tile whose outputs are a whole row, and the columns of a tile of wider ones; the least if memory is short.
_ROW_COLUMNS, _COLUMNS, _FEW_COLUMNS = 256, 128, 32
#: Instructions for each copy to shared memory, for scheduling.
_COPY = 12
#: How much longer the same work takes in blocks of which a multiprocessor holds one: nobody computes while it stores.
_ALONE = 1.1


@dataclass(frozen=True)
class GroupedKernel:
    """A kernel whose threads compute `rows` outputs of a column for `channels` output channels."""

    #: Rows and columns of the filter, and the stride; 0 if it takes any, and any dilation.
    kernel: int
    stride: int
    channels: int
    rows: int

    @property
    def expression(self) -> str:
        """Its name expression."""
        return f"im2win_grouped<{self.kernel}, {self.stride}, {self.channels}, {self.rows}>"

    def takes(self, problem: ConvProblem) -> bool:
        """Whether it is made for this filter, stride and dilation."""
        kernel, stride = (self.kernel, self.kernel), (self.stride, self.stride)
        of_problem = (problem.kernel_h, problem.kernel_w), problem.stride, problem.dilation
        return self.kernel == 0 or of_problem == (kernel, stride, (1, 1))

    def work(self, problem: ConvProblem) -> int:
        """Instructions of a thread for one input channel: multiply-adds, and reads of X and of the filter."""
        taps = problem.kernel_h * problem.kernel_w
        reads = taps * self.rows if self.kernel == 0 else self.kernel * ((self.rows - 1) * self.stride + self.kernel)
        return taps * self.rows * self.channels + reads + taps * -(-self.channels // VECTOR)


#: Fewer rows for planes that are no multiple of seven high; fewer channels for groups of four.
KERNELS = (
    *(GroupedKernel(3, 1, channels, rows) for channels, rows in ((8, 7), (8, 4), (4, 14), (4, 4))),
    *(GroupedKernel(3, 2, channels, rows) for channels, rows in ((8, 7), (8, 4), (4, 4))),
    *(GroupedKernel(0, 0, channels, 4) for channels in (4, 1)),
)
#: Program -> name expressions of its kernels.
INSTANCES = {"im2win_grouped": tuple(kernel.expression for kernel in KERNELS)}


@dataclass(frozen=True)
class GroupedSchedule:
    """How blocks share the work: what each takes of output channels, columns, rows, groups and images."""

    kernel: GroupedKernel
    images: int
    #: Threads that share a column of a tile.
    strips: int
    #: Threads that share the output channels of a block.
    channel_threads: int
    #: Input channels of a stage.
    step_channels: int
    tile: PlaneTile

    @property
    def pixel_threads(self) -> int:
        """Threads of a block that compute the same output channels: whole warps."""
        return -(-self.images * self.strips * self.tile.columns // WARP) * WARP

    @property
    def threads(self) -> int:
        return self.channel_threads * self.pixel_threads

    @property
    def block_channels(self) -> int:
        """Output channels of a block."""
        return self.channel_threads * self.kernel.channels

    @property
    def filter_row(self) -> int:
        """Floats from one tap's weights to the next one's: whole vectors, and few bank conflicts when written."""
        if self.kernel.channels % VECTOR:
            return self.block_channels | 1
        return self.block_channels + (VECTOR if self.block_channels % (2 * VECTOR) == 0 else 0)

    def parts(self, problem: ConvProblem) -> tuple[int, int, int]:
        """How many bands, sections and blocks of output channels there are."""
        of = (problem.out_height, self.tile.rows), (problem.out_width, self.tile.columns)
        bands, sections, blocks = (-(-a // b) for a, b in (*of, (problem.group_out_channels, self.block_channels)))
        return bands, sections, blocks

    def blocks(self, problem: ConvProblem) -> int:
        bands, sections, channel_blocks = self.parts(problem)
        return bands * sections * channel_blocks * problem.groups * -(-problem.batch // self.images)

    def stage_floats(self, problem: ConvProblem) -> int:
        """Floats of a stage: weights, and planes of X, also what is read for outputs that are not stored."""
        down, across, tile = problem.rows, problem.columns, self.tile
        last_row = (
            (tile.planes - 1) * tile.plane_rows + (self.strips * self.kernel.rows - 1) * down.stride + down.reach - 1
        )
        last_column = tile.early + (tile.columns - 1) * across.stride + across.reach - 1
        planes = max(tile.cells, last_row * tile.pitch + last_column + 1)
        weights = self.step_channels * problem.kernel_h * problem.kernel_w * self.filter_row
        return -(-weights // VECTOR) * VECTOR + -(-planes // VECTOR) * VECTOR

    def shared_bytes(self, problem: ConvProblem) -> int:
        """One stage if it holds all of a group's channels, else two."""
        stages = 1 if self.step_channels >= problem.group_in_channels else 2
        return FLOAT_BYTES * stages * self.stage_floats(problem)

    def work(self, problem: ConvProblem) -> int:
        """Instructions of a block's warps: computing, and bringing in planes and weights."""
        steps = -(-problem.group_in_channels // self.step_channels)
        weights = self.block_channels * problem.kernel_h * problem.kernel_w * self.step_channels
        copies = self.tile.cells // (VECTOR if problem.width % VECTOR == 0 else 1) + weights
        computing = self.threads * problem.group_in_channels * self.kernel.work(problem)
        return (computing + steps * copies * _COPY) // WARP

    def arguments(self, problem: ConvProblem) -> tuple[int, ...]:
        """The kernel's arguments before those of the tile's planes."""
        bands, sections, channel_blocks = self.parts(problem)
        sizes = (self.images, self.strips, bands, sections, channel_blocks, self.block_channels, self.pixel_threads)
        step = (self.step_channels, *division_numbers(self.step_channels))
        return (*sizes, self.filter_row, self.stage_floats(problem), *step)


def choose_schedule(problem: ConvProblem, multiprocessors: int) -> GroupedSchedule | None:
    """The schedule with the least work for the busiest of so many multiprocessors; None if no tile fits."""
    found = min(candidates(problem), key=lambda schedule: cost(problem, schedule, multiprocessors), default=None)
    return None if found is None else _spread(problem, found)


def candidates(problem: ConvProblem) -> Iterator[GroupedSchedule]:
    """The schedules of the kernels for this filter and stride, or else of those for all of them."""
    able = [kernel for kernel in KERNELS if kernel.takes(problem)]
    for kernel in [one for one in able if one.kernel] or able:
        yield from _schedules(problem, kernel)


def cost(problem: ConvProblem, schedule: GroupedSchedule, multiprocessors: int) -> tuple[float, int]:
    """What to compare schedules by: the work of the busiest multiprocessor, then the size of a block."""
    rounds = -(-schedule.blocks(problem) // multiprocessors)
    alone = _ALONE if schedule.threads > GROUPED_THREADS // 2 else 1.0
    return alone * rounds * schedule.work(problem), schedule.threads


def _spread(problem: ConvProblem, schedule: GroupedSchedule) -> GroupedSchedule:
    """The same with rows and planes so far apart that there are few bank conflicts."""
    tile, strips = schedule.tile, schedule.strips
    places = [
        (pixel // (tile.columns * strips), pixel // tile.columns % strips, pixel % tile.columns)
        for pixel in range(min(WARP, schedule.images * strips * tile.columns))
    ]

    def passes(tile: PlaneTile) -> int:
        rows = schedule.step_channels * tile.plane_rows, schedule.kernel.rows * problem.stride[0]
        return bank_passes(
            (image * rows[0] + strip * rows[1]) * tile.pitch + column * problem.stride[1]
            for image, strip, column in places
        )

    spread = replace(schedule, tile=spread_tile(problem, tile, passes, tile.cells * 5 // 4))
    return spread if spread.shared_bytes(problem) <= SHARED_BYTES else schedule


def _schedules(problem: ConvProblem, kernel: GroupedKernel) -> Iterator[GroupedSchedule]:
    """All schedules of `kernel` that fit."""
    all_strips = -(-problem.out_height // kernel.rows)
    whole = [problem.out_width] if problem.out_width <= _ROW_COLUMNS else []
    for columns in (*whole, *(few for few in (_COLUMNS, _FEW_COLUMNS) if few < problem.out_width)):
        for images, strips in (
            *((1, _share(all_strips, n)) for n in range(2, all_strips + 1)),
            *_whole(problem, all_strips),
        ):
            if images * strips * columns > GROUPED_THREADS:
                continue
            for channel_threads in _shares(-(-problem.group_out_channels // kernel.channels)):
                schedule = _fitting(problem, kernel, images, strips, columns, channel_threads)
                if schedule is not None:
                    yield schedule


def _whole(problem: ConvProblem, strips: int) -> Iterator[tuple[int, int]]:
    """Images with all of their strips."""
    for images in range(1, problem.batch + 1):
        yield images, strips


def _share(count: int, parts: int) -> int:
    """The most that one of so many parts has."""
    return -(-count // parts)


def _shares(count: int) -> list[int]:
    """The ways to cut `count` into even parts."""
    return sorted({_share(count, parts) for parts in range(1, count + 1)})


def _fitting(
    problem: ConvProblem, kernel: GroupedKernel, images: int, strips: int, columns: int, channel_threads: int
) -> GroupedSchedule | None:
    """The schedule with the most channels in a step, or None if there are too many threads or bytes."""
    rows = min(strips * kernel.rows, problem.out_height)
    for step in reversed(_shares(problem.group_in_channels)):
        tile = plane_tile(problem, images * step, rows, columns)
        schedule = GroupedSchedule(kernel, images, strips, channel_threads, step, tile)
        if schedule.threads > GROUPED_THREADS:
            return None
        if FLOAT_BYTES * schedule.stage_floats(problem) <= _STAGE_BYTES or step == 1:
            return schedule if schedule.shared_bytes(problem) <= SHARED_BYTES else None
    return None

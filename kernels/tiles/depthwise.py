"""The instances of the depthwise kernel, and how a block's threads share planes (cuda/im2win_depthwise.cu)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..problem import FLOAT_BYTES, ConvProblem
from .division import division_numbers
from .planes import BANKS, WARP, bank_passes
from .tiled import VECTOR

#: The most threads of a block, and how many such blocks a multiprocessor must have registers for: 128 a thread.
DEPTHWISE_THREADS, DEPTHWISE_BLOCKS = 256, 2

#: Zeros in front of the stages of a block, for kernels of whole tiles.
DEPTHWISE_ZEROS = 48

DEFINITIONS = {
    "DEPTHWISE_THREADS": DEPTHWISE_THREADS,
    "DEPTHWISE_BLOCKS": DEPTHWISE_BLOCKS,
    "DEPTHWISE_ZEROS": DEPTHWISE_ZEROS,
}

#: Threads of a block and stages of its pipeline, the first that fit into shared memory: as an H100 was fastest, where a
#: plane has several of a thread's tiles at stride 1, and else, where there are few shares to go on with or large ones.
_PIPELINED = ((256, 2), (128, 2), (64, 2), (32, 2), (32, 1))
_AT_ONCE = ((64, 1), (32, 1))


@dataclass(frozen=True)
class DepthwiseKernel:
    """A kernel for filters of `kernel` x `kernel`, whose threads compute `rows` x `columns` outputs each."""

    kernel: int
    stride: int
    rows: int
    columns: int
    #: Whether all tiles must be whole, and nothing or half a filter lie beyond each end of X: then padding costs least.
    whole: bool = False

    @property
    def expression(self) -> str:
        """Its name expression."""
        return f"im2win_depthwise<{self.kernel}, {self.stride}, {self.rows}, {self.columns}, {int(self.whole)}>"

    def takes(self, problem: ConvProblem) -> bool:
        """Whether it is made for this filter and padding, and the threads of a block suffice for a row."""
        kernel, stride = (self.kernel, self.kernel), (self.stride, self.stride)
        of_problem = (problem.kernel_h, problem.kernel_w), problem.stride, problem.dilation
        if of_problem != (kernel, stride, (1, 1)) or -(-problem.out_width // self.columns) > DEPTHWISE_THREADS:
            return False
        partial = problem.out_height % self.rows or problem.out_width % self.columns
        beyond, edge = {zeros for axis in problem.padding for zeros in axis}, self.kernel // 2
        # A smaller tile than the padding could lie in it in part.
        return not self.whole or (not partial and beyond <= {0, edge} and edge <= min(self.rows, self.columns))

    def work(self, problem: ConvProblem) -> int:
        """Outputs that it computes of a plane, those beyond its ends included."""
        return self.rows * -(-problem.out_height // self.rows) * self.columns * -(-problem.out_width // self.columns)


#: The planes of most networks have 7 x 2^n rows and columns; the other ones have powers of two.
KERNELS = tuple(
    DepthwiseKernel(kernel, stride, rows, columns, whole)
    for kernel, stride in ((3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2))
    for rows, columns in (((7, 7), (4, 5)) if stride == 1 else ((7, 7), (4, 7)))
    for whole in ((True, False) if stride == 1 else (False,))
)
#: Program -> name expressions of its kernels.
INSTANCES = {"im2win_depthwise": tuple(kernel.expression for kernel in KERNELS)}


@dataclass(frozen=True)
class DepthwiseSchedule:
    """How blocks share the work. A share is `planes` planes of Y, or one of `bands` parts of one."""

    kernel: DepthwiseKernel
    planes: int
    bands: int
    #: Threads of a plane, down and across.
    strips: int
    across: int
    #: Shares in a block's shared memory: 1 if it takes one and no more, 2 if the next is copied while one is computed.
    stages: int
    #: By how many floats rows and planes of X lie further apart in shared memory than in device memory.
    more_row: int = 0
    more_plane: int = 0

    @property
    def threads(self) -> int:
        return -(-self.planes * self.strips * self.across // WARP) * WARP

    @property
    def filter_floats(self) -> int:
        """Floats of a stage for the filters, which may begin behind a boundary."""
        return _vectors(self.planes * self.kernel.kernel**2 + VECTOR - 1)

    def shares(self, problem: ConvProblem) -> int:
        return -(-problem.batch * problem.out_channels // self.planes) * self.bands

    def band_rows(self, problem: ConvProblem) -> int:
        """Rows of Y in a share."""
        return min(self.strips * self.kernel.rows, problem.out_height)

    def stage_floats(self, problem: ConvProblem) -> int:
        """Floats of a stage: the filters, and X or the outputs, which may both begin behind a boundary."""
        rows = self.band_rows(problem)
        if self.bands == 1:
            # Planes of Y that share one of X may begin and end within it.
            inputs = min(self.planes, (self.planes - 1) // (problem.out_channels // problem.in_channels) + 2)
            source = inputs * (problem.height * (problem.width + self.more_row) + self.more_plane)
        else:
            needed = min(problem.height, (rows - 1) * self.kernel.stride + self.kernel.kernel)
            source = needed * (problem.width + self.more_row)
        return self.filter_floats + _vectors(max(source, self.planes * rows * problem.out_width) + VECTOR - 1)

    def shared_bytes(self, problem: ConvProblem) -> int:
        zeros = DEPTHWISE_ZEROS if self.kernel.whole else 0
        return FLOAT_BYTES * (zeros + self.stages * self.stage_floats(problem))

    def arguments(self, problem: ConvProblem) -> tuple[int, ...]:
        """The kernel's arguments before those of the problem."""
        multiplier = problem.out_channels // problem.in_channels
        sizes = (self.shares(problem), self.planes, self.band_rows(problem), self.strips, self.across)
        pitch_bytes = FLOAT_BYTES * (problem.width + self.more_row)
        places = (self.filter_floats, self.stage_floats(problem), pitch_bytes, self.more_plane)
        divisors = (problem.width, problem.height, problem.out_channels)
        return (
            *(*sizes, *places, self.bands, *division_numbers(self.bands), multiplier, *division_numbers(multiplier)),
            *(number for divisor in divisors for number in division_numbers(divisor)),
        )


def choose_schedule(problem: ConvProblem, shared_bytes: int) -> DepthwiseSchedule | None:
    """That of the kernel which computes the fewest outputs in vain; None if none is made for this filter and stride.

    `shared_bytes` is what a block can have.
    """
    able = [kernel for kernel in KERNELS if kernel.takes(problem)]

    def rank(kernel: DepthwiseKernel) -> tuple[int, ...]:
        return kernel.work(problem), -kernel.rows * kernel.columns, not kernel.whole

    for kernel in sorted(able, key=rank):
        several = problem.out_height > kernel.rows or problem.out_width > kernel.columns
        for threads, stages in _PIPELINED if several and kernel.stride == 1 else _AT_ONCE:
            schedule = schedule_of(problem, kernel, threads, stages)
            if schedule.shared_bytes(problem) <= shared_bytes:
                return schedule
    return None


def schedule_of(problem: ConvProblem, kernel: DepthwiseKernel, threads: int, stages: int = 2) -> DepthwiseSchedule:
    """How blocks of about so many threads share the work of `kernel`."""
    all_planes = problem.batch * problem.out_channels
    all_strips, across = -(-problem.out_height // kernel.rows), -(-problem.out_width // kernel.columns)
    planes = min(max(1, threads // (all_strips * across)), all_planes)
    bands = -(-all_strips // max(1, threads // across))
    strips = -(-all_strips // bands)
    bands = -(-all_strips // strips)
    near = DepthwiseSchedule(kernel, planes, bands, strips, across, stages)
    # Further apart they are not copied as one run, so that their rows must be whole vectors.
    steps = range(0, BANKS, VECTOR) if problem.width % VECTOR == 0 else range(1)
    able = [replace(near, more_row=row, more_plane=plane) for row in steps for plane in steps]
    most = near.stage_floats(problem) * 3 // 2
    able = [one for one in able if one.stage_floats(problem) <= most]
    return min(able, key=lambda one: (_passes(problem, one), one.stage_floats(problem)))


def _passes(problem: ConvProblem, schedule: DepthwiseSchedule) -> int:
    """Passes of a warp that reads the first value of each of its threads."""
    kernel, across, strips = schedule.kernel, schedule.across, schedule.strips
    places = [(thread % across, thread // across % strips, thread // (across * strips)) for thread in range(WARP)]
    pitch = problem.width + schedule.more_row
    return bank_passes(
        plane * (problem.height * pitch + schedule.more_plane)
        + (strip * kernel.rows * pitch + group * kernel.columns) * kernel.stride
        for group, strip, plane in places
        if plane < schedule.planes
    )


def _vectors(floats: int) -> int:
    """At least so many floats, in whole vectors."""
    return -(-floats // VECTOR) * VECTOR

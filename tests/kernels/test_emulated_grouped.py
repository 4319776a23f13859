"""The kernels for depthwise and grouped convolutions, run on the CPU (tests/emulation)."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from kernels import algorithm as algorithms
from kernels.build.programs import PROGRAMS
from kernels.families.im2win_depthwise import DepthwisePlan
from kernels.families.im2win_grouped import GroupedPlan
from kernels.plan import Plan, UnsupportedError
from kernels.problem import ConvProblem
from kernels.reference import pad
from kernels.tiles import depthwise, grouped
from kernels.tiles.depthwise import DepthwiseKernel
from kernels.tiles.grouped import GroupedKernel, GroupedSchedule
from tests.emulation.launch import COMPILER, EmulatedLibrary
from tests.problems import MIXED, mixed_problems
from tests.relative import BOUND, backward_error
from workflow.harness import verify

pytestmark = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> EmulatedLibrary:
    kernels = {program: list(PROGRAMS[program]) for program in ("im2win_depthwise", "im2win_grouped")}
    return EmulatedLibrary(tmp_path_factory, kernels)


def tensor(shape: tuple[int, ...], behind: int) -> torch.Tensor:
    """A tensor that begins so many floats behind a 16-byte boundary, with NaNs around it."""
    count = torch.Size(shape).numel()
    return torch.full((count + 8,), torch.nan)[behind : behind + count].view(shape)


def check(plan: Plan, problem: ConvProblem, behind: int = 0) -> None:
    """The plan's convolution is exact on integers and close on fractions, with all of Y written and no more."""
    for integers in (True, False):
        x, f, y = (tensor(shape, behind) for shape in (problem.input_shape, problem.filter_shape, problem.output_shape))
        x.copy_(torch.rand(x.shape)), f.copy_(torch.rand(f.shape) - 0.5)
        if integers:
            x.mul_(8).round_(), f.mul_(16).round_()
        around = y._base
        assert around is not None
        verify.poison(around)
        plan.run(x, f, y)
        assert backward_error(x, f, y, problem) <= (0.0 if integers else BOUND)
        written = torch.zeros(around.numel(), dtype=torch.bool)
        written[behind : behind + y.numel()] = True
        assert around[~written].isnan().all()


#: Channels, output channels, height, width and padding. Whole planes, several a block, and bands of one; rows of whole
#: vectors and not; outputs that fill no thread's share; multipliers; padding on one side, and beyond
#: the filter's reach.
PLANES = [
    (3, 3, 7, 7, ((3, 3), (3, 3))),
    (5, 5, 14, 14, ((1, 1), (1, 1))),
    (2, 6, 9, 12, ((2, 2), (1, 1))),
    (3, 3, 30, 28, ((0, 3), (2, 1))),
    (2, 4, 8, 8, ((4, 0), (0, 9))),
    (2, 2, 5, 70, ((1, 3), (8, 7))),
    (70, 70, 3, 4, ((3, 3), (3, 3))),
    (2, 2, 29, 120, ((2, 2), (2, 2))),
    (3, 9, 13, 7, ((0, 0), (0, 0))),
]
#: For kernels of whole tiles: channels, output channels, tiles down and across, and whether there is half a filter of
#: padding above, below, left and right. Whole planes, several a block, fewer in the last share, bands of one, of which
#: the last has fewer tiles; shares that follow each other with the same filter and with another one.
WHOLE = [
    (5, 5, 1, 1, (1, 1, 1, 1)),
    (3, 6, 2, 2, (1, 1, 1, 1)),
    (2, 2, 6, 8, (1, 1, 1, 1)),
    (7, 7, 4, 3, (1, 0, 0, 1)),
    (4, 12, 2, 1, (0, 1, 1, 0)),
    (2, 2, 5, 13, (1, 0, 1, 0)),
    (70, 70, 1, 1, (1, 1, 1, 1)),
    (11, 11, 1, 2, (0, 0, 0, 0)),
]


def problems_of(kernel: DepthwiseKernel) -> list[ConvProblem]:
    """What its test has for it."""
    size, stride = (kernel.kernel, kernel.kernel), (kernel.stride, kernel.stride)
    if not kernel.whole:
        shapes = PLANES
    else:
        shapes = []
        for channels, out_channels, down, across, padded in WHOLE:
            above, below, left, right = (kernel.kernel // 2 * zeros for zeros in padded)
            height = down * kernel.rows + kernel.kernel - 1 - above - below
            width = across * kernel.columns + kernel.kernel - 1 - left - right
            shapes.append((channels, out_channels, height, width, ((above, below), (left, right))))
    return [
        ConvProblem(3, channels, height, width, out_channels, *size, stride, padding, groups=channels)
        for channels, out_channels, height, width, padding in shapes
    ]


@pytest.mark.parametrize("kernel", depthwise.KERNELS, ids=lambda kernel: kernel.expression)
def test_depthwise(kernel: DepthwiseKernel, library: EmulatedLibrary) -> None:
    for i, problem in enumerate(problems_of(kernel)):
        assert kernel.takes(problem)
        for threads, stages in ((32, 2), (64 + 32 * (i % 3), 1 + i % 2)):
            schedule = depthwise.schedule_of(problem, kernel, threads, stages)
            check(DepthwisePlan(problem, library, schedule), problem, i % 4)


#: Batch, groups, channels and output channels of each, height, width and padding.
GROUPS = [
    (3, 2, 4, 4, 14, 14, ((1, 1), (1, 1))),
    (9, 3, 5, 9, 7, 7, ((1, 1), (1, 1))),
    (2, 2, 2, 13, 9, 12, ((2, 0), (1, 3))),
    (1, 2, 17, 8, 8, 16, ((4, 3), (0, 9))),
    (2, 3, 3, 2, 3, 5, ((1, 1), (1, 1))),
]


def spread(problem: ConvProblem, kernel: GroupedKernel, library: EmulatedLibrary) -> list[GroupedSchedule]:
    """Some of a kernel's schedules, among them the rule's: of many and few images, rows and channels."""
    every = list(grouped._schedules(problem, kernel))
    every.sort(key=lambda schedule: grouped.cost(problem, schedule, library.multiprocessors))
    return [grouped._spread(problem, every[0]), *every[1 :: max(1, len(every) // 4)]]


@pytest.mark.parametrize("kernel", grouped.KERNELS, ids=lambda kernel: kernel.expression)
def test_grouped(kernel: GroupedKernel, library: EmulatedLibrary) -> None:
    for i, (batch, groups, channels, out_channels, height, width, padding) in enumerate(GROUPS):
        stride = (kernel.stride or 1, kernel.stride or 1)
        shape = (batch, groups * channels, height, width, groups * out_channels, 3, 3)
        problem = ConvProblem(*shape, stride, padding, groups=groups)
        for schedule in spread(problem, kernel, library):
            check(GroupedPlan(problem, library, schedule), problem, i % 4)


#: What only the kernels for any size take. Dilation; one dimension; filters larger than the input; windows that lie in
#: the padding; strides that skip; rows wider than a tile; planes higher than shared memory.
GENERAL = [
    ConvProblem(2, 6, 11, 13, 9, 3, 3, (1, 1), ((2, 3), (4, 1)), (2, 4), 3),
    ConvProblem(2, 4, 1, 40, 6, 1, 9, (1, 2), ((0, 0), (4, 4)), groups=2),
    ConvProblem(1, 4, 3, 4, 4, 7, 5, (1, 1), ((3, 4), (2, 2)), groups=2),
    ConvProblem(2, 4, 5, 6, 4, 1, 1, (3, 2), ((3, 0), (0, 7)), groups=2),
    ConvProblem(1, 4, 2, 300, 2, 2, 3, (1, 1), ((1, 1), (1, 1)), (1, 3), 2),
    ConvProblem(3, 5, 9, 8, 5, 3, 3, (1, 1), ((3, 3), (3, 3)), (3, 3), 5),
    ConvProblem(2, 3, 7, 7, 6, 4, 2, (2, 3), ((1, 1), (1, 1)), groups=3),
    ConvProblem(1, 2, 600, 3, 2, 31, 3, (1, 1), ((15, 15), (1, 1)), (4, 1), 2),
    ConvProblem(1, 3, 4, 1900, 3, 3, 3, (1, 1), ((1, 1), (1, 1)), groups=3),
]
#: What other kernels' tests have of groups.
OTHERS = [problem for problem in MIXED + mixed_problems(120, seed=24) if problem.groups > 1]


def plan_of(problem: ConvProblem, library: EmulatedLibrary) -> Plan:
    name = "im2win_depthwise" if problem.is_depthwise else "im2win_grouped"
    return algorithms.load(name, f"kernels.families.{name}").plan(problem, torch.device("cpu"), library, tf32=False)


@pytest.mark.parametrize("problem", GENERAL + OTHERS, ids=str)
def test_any_size(problem: ConvProblem, library: EmulatedLibrary) -> None:
    plan = plan_of(problem, library)
    check(plan, problem)
    assert plan.workspace_bytes == 0


@pytest.mark.parametrize(
    ("name", "groups", "reason"),
    [
        ("im2win_depthwise", 1, "takes depthwise convolutions alone"),
        ("im2win_depthwise", 2, "takes depthwise convolutions alone"),
        ("im2win_grouped", 1, "this one has a single group"),
        ("im2win_grouped", 4, "im2win_depthwise takes those of one"),
    ],
)
def test_other_groups_are_declined(name: str, groups: int, reason: str, library: EmulatedLibrary) -> None:
    problem = ConvProblem(1, 4, 8, 8, 4, 3, 3, groups=groups)
    with pytest.raises(UnsupportedError, match=reason):
        algorithms.load(name, f"kernels.families.{name}").plan(problem, torch.device("cpu"), library, tf32=False)


def test_what_does_not_fit_is_declined(library: EmulatedLibrary) -> None:
    problem = ConvProblem(1, 4, 2000, 40, 4, 1000, 3, groups=2)
    with pytest.raises(UnsupportedError, match="do not fit into shared memory"):
        GroupedPlan(problem, library)


@pytest.mark.parametrize(
    "problem",
    [
        ConvProblem(2, 3, 9, 9, 6, 3, 3, (1, 1), ((1, 1), (1, 1)), groups=3),
        ConvProblem(2, 3, 14, 14, 3, 7, 7, (1, 1), ((3, 3), (3, 3)), groups=3),
        ConvProblem(2, 3, 16, 14, 6, 5, 5, (1, 1), ((0, 2), (2, 2)), groups=3),
        ConvProblem(2, 3, 15, 14, 3, 7, 7, (1, 1), ((3, 3), (3, 3)), groups=3),
        ConvProblem(2, 4, 9, 9, 6, 3, 3, (1, 1), ((1, 2), (3, 0)), groups=2),
        ConvProblem(2, 4, 9, 9, 6, 3, 3, (1, 1), ((2, 2), (2, 2)), (2, 2), 2),
    ],
    ids=str,
)
def test_inf_and_nan_beside_the_padding(problem: ConvProblem, library: EmulatedLibrary) -> None:
    """They show in the outputs whose windows hold them, as in PyTorch."""
    x, f = torch.rand(problem.input_shape), torch.rand(problem.filter_shape) + 0.5
    x[0, 0, 0, 0], x[0, 1, 3, -1], x[1, 2, -1, 4], x[1, 0, -1, -1] = torch.inf, torch.nan, -torch.inf, torch.nan
    y = torch.empty(problem.output_shape)
    verify.poison(y)
    name = "im2win_depthwise" if problem.is_depthwise else "im2win_grouped"
    algorithms.load(name, f"kernels.families.{name}").plan(problem, torch.device("cpu"), library, tf32=False).run(
        x, f, y
    )
    expected = functional.conv2d(pad(problem, x), f, None, problem.stride, 0, problem.dilation, problem.groups)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5, equal_nan=True)

"""The kernels for depthwise and grouped convolutions, run on the CPU (tests/emulation)."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from kernels.build.programs import PROGRAMS
from kernels.families.im2win_depthwise import DepthwisePlan
from kernels.plan import Plan
from kernels.problem import ConvProblem
from kernels.reference import pad
from kernels.tiles.depthwise import KERNELS, DepthwiseKernel, choose_schedule
from tests.emulation.launch import COMPILER, EmulatedLibrary
from tests.relative import BOUND, backward_error
from workflow.harness import verify

pytestmark = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> EmulatedLibrary:
    kernels = {program: list(PROGRAMS[program]) for program in ("im2win_depthwise",)}
    return EmulatedLibrary(tmp_path_factory.mktemp("emulated"), kernels)


def tensor(shape: tuple[int, ...], behind: int) -> torch.Tensor:
    """A tensor that begins so many floats behind a 16-byte boundary, with NaNs around it."""
    count = torch.Size(shape).numel()
    return torch.full((count + 8,), torch.nan)[behind : behind + count].view(shape)


def check(plan: Plan, problem: ConvProblem, behind: int = 0) -> None:
    """The plan's convolution is exact on integers and close on fractions, with all of Y written and nothing beside it."""
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
#: vectors and not; outputs that fill no thread's share; multipliers; padding of one side, and beyond the filter's reach.
PLANES = [
    (3, 3, 7, 7, 3),
    (5, 5, 14, 14, 1),
    (2, 6, 9, 12, (2, 1)),
    (3, 3, 30, 28, ((0, 3), (2, 1))),
    (2, 4, 8, 8, ((4, 0), (0, 9))),
    (2, 2, 5, 70, ((1, 3), (8, 7))),
    (70, 70, 3, 4, 3),
    (2, 2, 29, 120, 2),
    (3, 9, 13, 7, 0),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.expression)
def test_depthwise(kernel: DepthwiseKernel, library: EmulatedLibrary) -> None:
    for i, (channels, out_channels, height, width, padding) in enumerate(PLANES):
        if kernel.kernel > 3 and height < 7 or padding == 0 and kernel.kernel > min(height, width):
            continue
        sizes = (3, channels, height, width, out_channels, kernel.kernel, kernel.kernel, kernel.stride)
        problem = ConvProblem(*sizes, padding, groups=channels)
        check(DepthwisePlan(problem, library, choose_schedule(problem, kernel)), problem, i % 4)

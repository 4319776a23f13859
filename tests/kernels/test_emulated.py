"""The CUDA kernels' own source, run on the CPU (tests/emulation): against float64, and exactly on integers.

A GPU's tests (tests/gpu) cover more shapes and the hardware; these run everywhere.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from kernels.build.programs import PROGRAMS
from kernels.families.cpu import im2win_transform
from kernels.families.direct import DirectPlan
from kernels.families.im2win import BasePlan, ClusterPlan, ResidentPlan, TiledPlan
from kernels.families.im2win_tensor_core import TensorCorePlan
from kernels.families.im2win_transform import FilterReorder, Transform
from kernels.families.im2win_winograd import WinogradPlan
from kernels.plan import Plan, UnsupportedError
from kernels.problem import ConvProblem
from kernels.tiles.tensor_core import K_BLOCK, MMA_TILES, WGMMA_TILES, TensorCoreTile
from kernels.tiles.tensor_core_sliding import MMA_SLIDING_TILES, SLIDING_TILES, SlidingTile
from kernels.tiles.tiled import (
    CLUSTER_TILES,
    LOADERS,
    TILE_WITHOUT_MICRO_KERNEL,
    TILES,
    Schedule,
    Tile,
    fits,
    fused,
    takes_resident,
    without_micro_kernel,
)
from kernels.tiles.winograd import WINOGRAD_TILE, strips_of
from tests.emulation.launch import COMPILER, EmulatedLibrary
from tests.emulation.programs import PADDED_TILES, emulated_kernels
from tests.problems import MIXED, SHORT_REDUCTIONS, mixed_problems, random_problems
from tests.relative import BOUND, backward_error, componentwise_error
from workflow.harness import verify

pytestmark = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")

CPU = torch.device("cpu")
#: Output rows and images end anywhere in a tile; K is no multiple of a step; images of 4 k and of 4 k + 1 pixels, and
#: of more than a tile has.
TILED = [
    ConvProblem(2, 3, 11, 13, 70, 3, 3, 1),
    ConvProblem(3, 2, 7, 7, 33, 2, 3, 1),
    ConvProblem(1, 3, 23, 31, 97, 5, 7, 3),
    ConvProblem(2, 1, 16, 19, 70, 3, 4, 1),
]
#: With padding, dilation and two strides, with and without groups.
UNGROUPED = [problem for problem in (*MIXED, *mixed_problems(20, seed=11)) if problem.groups == 1]
GROUPED = [problem for problem in (*MIXED, *mixed_problems(20, seed=12)) if problem.groups > 1]
ABLATED = ("prefetch", "double_buffering", "vectorized_load", "shared_memory")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> EmulatedLibrary:
    return EmulatedLibrary(tmp_path_factory, emulated_kernels())


def check(plan: Plan, problem: ConvProblem) -> None:
    """The plan's convolution is exact on integers and close on fractions, twice, with all of Y written."""
    for integers in (True, False):
        x, f = torch.rand(problem.input_shape), torch.rand(problem.filter_shape) - 0.5
        if integers:
            x, f = (8 * x).round(), (16 * f).round()
        y = torch.empty(problem.output_shape)
        verify.poison(y)
        plan.run(x, f, y)
        assert backward_error(x, f, y, problem) <= (0.0 if integers else BOUND)


@pytest.mark.parametrize("tile", TILES, ids=lambda tile: tile.arguments)
@pytest.mark.parametrize("program", ["im2win", *(f"im2win_fused {loader}" for loader in LOADERS)])
def test_tiles(program: str, tile: Tile, library: EmulatedLibrary) -> None:
    program, _, loader = program.partition(" ")
    if not fits(loader or "WindowLoader", tile):
        pytest.skip("not compiled")
    expression = fused(loader, tile, padded=False) if loader else f"{program}<{tile.arguments}>"
    for problem, waves in zip(TILED, (0, 0.5, 1, 1), strict=True):
        schedule = Schedule(tile, waves, loader or "WindowLoader")
        check(TiledPlan(problem, CPU, library, program, expression, schedule, fused=bool(loader)), problem)


@pytest.mark.parametrize("problem", UNGROUPED, ids=str)
def test_padding_and_dilation(problem: ConvProblem, library: EmulatedLibrary) -> None:
    """The window tensor's kernels and the fused one, one output a thread included."""
    check(BasePlan(problem, CPU, library), problem)
    check(DirectPlan(problem, library), problem)
    tile = TILES[3]
    for program in ("im2win", *(f"im2win_without_{part}" for part in ABLATED)):
        schedule = Schedule(tile, waves=1)
        check(TiledPlan(problem, CPU, library, program, f"{program}<{tile.arguments}>", schedule), problem)
    for tile, waves in zip(PADDED_TILES, (0, 0.5, 1), strict=True):
        schedule, expression = Schedule(tile, waves), fused("WindowLoader", tile, problem.is_padded)
        check(TiledPlan(problem, CPU, library, "im2win_fused", expression, schedule, fused=True), problem)
    if takes_resident(problem):
        check(ResidentPlan(problem, CPU, library), problem)


@pytest.mark.parametrize("problem", GROUPED, ids=str)
def test_groups(problem: ConvProblem, library: EmulatedLibrary) -> None:
    check(BasePlan(problem, CPU, library), problem)
    check(DirectPlan(problem, library), problem)
    with pytest.raises(UnsupportedError, match="it takes no groups"):
        TiledPlan(problem, CPU, library, "im2win", f"im2win<{TILES[0].arguments}>", Schedule(TILES[0], 0))


@pytest.mark.parametrize("expression", PROGRAMS["im2win_fused_cluster"])
def test_clusters(expression: str, library: EmulatedLibrary) -> None:
    cluster, loader, padded, *values = expression[:-1].partition("<")[2].split(", ")
    schedule = Schedule(Tile(*map(int, values)), 0, loader, int(cluster))
    with_padding = [
        ConvProblem(3, 7, 7, 7, 33, 3, 3, padding=1),
        ConvProblem(2, 4, 16, 19, 70, 4, 4, (2, 1), ((2, 0), (1, 3)), (1, 2)),
    ]
    without = [TILED[2], ConvProblem(3, 7, 7, 7, 33, 3, 3, 1), ConvProblem(2, 4, 16, 19, 70, 4, 4, 1)]
    for problem in with_padding if int(padded) else without:
        check(ClusterPlan(problem, CPU, library, schedule), problem)


def test_large_filters_with_padding_are_declined(library: EmulatedLibrary) -> None:
    problem, tile = ConvProblem(1, 1, 20, 20, 1, 3, 17, padding=1), TILES[0]
    with pytest.raises(UnsupportedError, match="with padding it takes filters of at most 16 rows and 15 columns"):
        expression = fused("WindowLoader", tile, padded=True)
        TiledPlan(problem, CPU, library, "im2win_fused", expression, Schedule(tile, 0), fused=True)


def test_clusters_need_steps_to_share(library: EmulatedLibrary) -> None:
    schedule = Schedule(CLUSTER_TILES[0], 0, "WindowLoader", 8)
    with pytest.raises(UnsupportedError, match="8 blocks cannot share 2 steps"):
        ClusterPlan(ConvProblem(1, 1, 9, 9, 3, 3, 3, 1), CPU, library, schedule)


@pytest.mark.parametrize(
    "problem", [*SHORT_REDUCTIONS, *(replace(each, padding=((2, 2), (2, 2))) for each in SHORT_REDUCTIONS)], ids=str
)
def test_short_reductions(problem: ConvProblem, library: EmulatedLibrary) -> None:
    check(ResidentPlan(problem, CPU, library), problem)


def test_short_reductions_only(library: EmulatedLibrary) -> None:
    for problem in (ConvProblem(1, 4, 18, 18, 3, 3, 3, 1), ConvProblem(1, 3, 9, 9, 3, 3, 3, 1)):
        with pytest.raises(UnsupportedError, match="takes 27 values of the reduction, and images with a multiple of"):
            ResidentPlan(problem, CPU, library)


#: Of an odd and an even number of rows, channels in whole steps and not.
THREE_BY_THREE = [
    ConvProblem(2, 3, 11, 13, 70, 3, 3, 1),
    ConvProblem(3, 9, 8, 7, 33, 3, 3, 1),
    ConvProblem(1, 4, 9, 31, 130, 3, 3, 1),
    ConvProblem(5, 8, 3, 6, 64, 3, 3, 1),
    ConvProblem(2, 3, 11, 13, 70, 3, 3, padding=1),
    ConvProblem(3, 5, 2, 1, 33, 3, 3, padding=((3, 1), (2, 4))),
    ConvProblem(1, 4, 12, 8, 20, 3, 3, padding=((0, 2), (1, 0))),
]


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("problem", THREE_BY_THREE, ids=str)
def test_winograd(problem: ConvProblem, prepared: bool, library: EmulatedLibrary) -> None:
    """By a rule; a tile for each block; and as many blocks at a tile as it has steps."""
    for steps in (None, WINOGRAD_TILE.steps(strips_of(problem)), 1):
        check(WinogradPlan(problem, CPU, library, steps, prepared), problem)


def test_winograd_takes_three_by_three(library: EmulatedLibrary) -> None:
    for problem in (ConvProblem(1, 3, 9, 9, 3, 3, 2, 1), ConvProblem(1, 3, 9, 9, 3, 3, 3, 2)):
        with pytest.raises(UnsupportedError, match="takes filters of 3 x 3 at stride 1"):
            WinogradPlan(problem, CPU, library)
    for others, said in (({"dilation": (2, 1)}, "no dilation"), ({"groups": 3}, "no groups")):
        with pytest.raises(UnsupportedError, match=said):
            WinogradPlan(ConvProblem(1, 3, 9, 9, 3, 3, 3, **others), CPU, library)


@pytest.mark.parametrize("problem", TILED, ids=str)
@pytest.mark.parametrize("part", ABLATED)
def test_ablations(part: str, problem: ConvProblem, library: EmulatedLibrary) -> None:
    program, tile = f"im2win_without_{part}", TILES[3]
    expression = f"{program}<{tile.arguments}>"
    check(TiledPlan(problem, CPU, library, program, expression, Schedule(tile, waves=0)), problem)


@pytest.mark.parametrize("problem", TILED, ids=str)
def test_without_micro_kernel(problem: ConvProblem, library: EmulatedLibrary) -> None:
    schedule = Schedule(TILE_WITHOUT_MICRO_KERNEL, waves=0)
    program = "im2win_without_micro_kernel"
    check(TiledPlan(problem, CPU, library, program, without_micro_kernel(), schedule), problem)


@pytest.mark.parametrize("problem", TILED, ids=str)
def test_base_and_transform(problem: ConvProblem, library: EmulatedLibrary) -> None:
    check(BasePlan(problem, CPU, library), problem)
    schedule = Schedule(TILES[0], waves=0)
    plan = TiledPlan(problem, CPU, library, "im2win", f"im2win<{TILES[0].arguments}>", schedule)
    x = torch.rand(problem.input_shape)
    plan.prepare(x, torch.rand(problem.filter_shape))
    assert torch.equal(plan.window, im2win_transform(x, problem))


@pytest.mark.parametrize(
    "problem", [*TILED, ConvProblem(2, 3, 9, 10, 4, 2, 3, 4), *random_problems(4, seed=5), *UNGROUPED], ids=str
)
def test_transform_wherever_runs_begin(
    problem: ConvProblem, library: EmulatedLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of one row, of several and of several channels; X at and beside a multiple of 16 bytes."""
    x = torch.rand(problem.input_shape)
    for values, offset in itertools.product((1, 100, 3000), (0, 1, 3)):
        monkeypatch.setattr("kernels.families.im2win_transform._TRANSFORM_VALUES", values)
        around = torch.full((x.numel() + 8,), torch.nan)
        inside = around[offset : offset + x.numel()].view(x.shape).copy_(x)
        reorder = FilterReorder(problem, CPU, library, None, by_columns=True)
        transform = Transform(problem, CPU, library, reorder)
        verify.poison(transform.window)
        transform(inside, torch.rand(problem.filter_shape))
        assert torch.equal(transform.window, im2win_transform(x, problem)), (values, offset)


#: At stride 1 and 2, with one image and more, with Y's rows of odd and even length and shorter and longer than a tile.
SLIDING = [
    ConvProblem(1, 3, 6, 9, 5, 3, 3, 1),
    ConvProblem(2, 11, 9, 24, 70, 5, 5, 1),
    ConvProblem(3, 12, 7, 7, 130, 3, 3, 1),
    ConvProblem(1, 3, 13, 57, 20, 7, 7, 2),
    ConvProblem(2, 2, 9, 13, 20, 3, 9, 1),
    ConvProblem(2, 33, 5, 11, 20, 2, 1, 3),
]
#: The same with what the general kernels are for: padding, dilation below and above the stride, and groups.
SLIDING_GENERAL = [
    ConvProblem(2, 11, 9, 24, 70, 5, 5, padding=2),
    ConvProblem(3, 12, 7, 7, 130, 3, 3, padding=((3, 0), (1, 4)), stride=(1, 2)),
    ConvProblem(1, 5, 13, 21, 20, 3, 3, padding=4, dilation=4),
    ConvProblem(2, 3, 12, 23, 9, 3, 5, stride=(1, 2), dilation=(2, 3)),
    ConvProblem(1, 2, 9, 30, 9, 2, 5, stride=(1, 4), dilation=(1, 6), padding=1),
    ConvProblem(2, 24, 6, 9, 140, 3, 3, padding=1, groups=2),
    ConvProblem(2, 9, 1, 10, 5, 5, 1, (1, 3), ((8, 8), (0, 0)), (3, 4)),
    ConvProblem(2, 35, 7, 9, 20, 1, 1, padding=1),
    ConvProblem(1, 12, 1, 40, 12, 1, 7, padding=((0, 0), (3, 3)), groups=12),
]


IN_MEMORY = next(tile for tile in SLIDING_TILES if tile.windows_in_memory)


def name_of(tile: TensorCoreTile) -> str:
    return f"{tile.program}<{tile.arguments}>"


@pytest.mark.parametrize("tile", [*SLIDING_TILES, *MMA_SLIDING_TILES], ids=name_of)
def test_sliding(tile: SlidingTile, library: EmulatedLibrary) -> None:
    able = [problem for problem in SLIDING if tile.supports(problem)]
    assert able
    for i, problem in enumerate(able):
        check(TensorCorePlan(problem, CPU, library, tile, 1 + i % tile.k_blocks(problem)), problem)


@pytest.mark.parametrize("tile", [*SLIDING_TILES[2:4], IN_MEMORY, MMA_SLIDING_TILES[0]], ids=name_of)
@pytest.mark.parametrize("problem", [*SLIDING_GENERAL, *UNGROUPED, *GROUPED], ids=str)
def test_sliding_in_general(problem: ConvProblem, tile: SlidingTile, library: EmulatedLibrary) -> None:
    if not tile.supports(problem):
        pytest.skip("the window is too wide")
    check(TensorCorePlan(problem, CPU, library, tile, 1), problem)


@pytest.mark.parametrize("tile", [WGMMA_TILES[2], WGMMA_TILES[-1], *MMA_TILES[1:]], ids=name_of)
@pytest.mark.parametrize("problem", [*UNGROUPED, *GROUPED], ids=str)
def test_gathering_in_general(problem: ConvProblem, tile: TensorCoreTile, library: EmulatedLibrary) -> None:
    if (tile.parts == 3) != (problem.gemm_shape[2] <= K_BLOCK):
        pytest.skip("three parts are for reductions of one K block")
    check(TensorCorePlan(problem, CPU, library, tile, min(2, tile.k_blocks(problem))), problem)


@pytest.mark.parametrize("tile", [*WGMMA_TILES, *MMA_TILES], ids=name_of)
def test_gathering(tile: TensorCoreTile, library: EmulatedLibrary) -> None:
    problem = ConvProblem(2, 3, 9, 11, 130, 3, 3, 1) if tile.parts == 3 else ConvProblem(2, 3, 13, 16, 130, 5, 5, 2)
    check(TensorCorePlan(problem, CPU, library, tile, 1 if tile.parts == 3 else 2), problem)


def test_only_the_kernel_after_the_preparation_overlaps(
    library: EmulatedLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlaps: list[bool] = []

    def launch(*arguments: object, overlap: bool = False, **others: object) -> None:
        overlaps.append(overlap)

    monkeypatch.setattr(library, "launch", launch)
    monkeypatch.setattr(library, "fills_device", lambda *arguments: True)
    problem, tile = ConvProblem(2, 11, 9, 24, 70, 5, 5, 1), TILES[0]
    x, f, y = (torch.empty(shape) for shape in (problem.input_shape, problem.filter_shape, problem.output_shape))
    clusters = Schedule(CLUSTER_TILES[0], 0, "WindowLoader", 2)
    for plan, run in (
        (TiledPlan(problem, CPU, library, "im2win", f"im2win<{tile.arguments}>", Schedule(tile, 0)), [False, True]),
        (ClusterPlan(problem, CPU, library, clusters), [False]),
        (BasePlan(problem, CPU, library), [False, False]),
        (TensorCorePlan(problem, CPU, library, SLIDING_TILES[0], 1), [False, True]),
        (TensorCorePlan(problem, CPU, library, SLIDING_TILES[0], 2), [False, True, False]),
        (TensorCorePlan(problem, CPU, library, IN_MEMORY, 2), [False, True, True, False]),
    ):
        overlaps.clear()
        plan.run(x, f, y)
        assert overlaps == run
        overlaps.clear()
        plan.prepare(x, f)
        plan.compute(x, f, y)
        # What comes before `compute` is not known to let another kernel begin; its own window tensor's kernel is.
        within = isinstance(plan, TensorCorePlan) and plan._tile is IN_MEMORY
        assert overlaps == ([False, False, True, False] if within else [False] * len(run))


def test_a_kernel_of_few_blocks_does_not_overlap(library: EmulatedLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    overlaps: list[bool] = []
    monkeypatch.setattr(library, "launch", lambda *_, overlap=False, **others: overlaps.append(overlap))
    problem, tile = ConvProblem(2, 11, 9, 24, 70, 5, 5, 1), TILES[0]
    x, f, y = (torch.empty(shape) for shape in (problem.input_shape, problem.filter_shape, problem.output_shape))
    for waves, filled in ((0.5, False), (1, True)):
        plan = TiledPlan(problem, CPU, library, "im2win", f"im2win<{tile.arguments}>", Schedule(tile, waves))
        plan.run(x, f, y)
        assert overlaps == [False, filled]
        overlaps.clear()
    # Two blocks, of which a multiprocessor of five would hold both; and one that holds one alone.
    for resident, filled in ((5, False), (1, True)):
        monkeypatch.setattr(library, "resident_blocks", lambda *_, resident=resident: resident)
        TensorCorePlan(problem, CPU, library, SLIDING_TILES[0], 1).run(x, f, y)
        assert overlaps == [False, filled]
        overlaps.clear()


@pytest.mark.parametrize(
    "tile", [SLIDING_TILES[0], SLIDING_TILES[-1], WGMMA_TILES[-1], MMA_SLIDING_TILES[0], MMA_TILES[-1]], ids=name_of
)
def test_inf_and_nan_come_out_as_in_fp32(tile: TensorCoreTile, library: EmulatedLibrary) -> None:
    problem = ConvProblem(2, 2, 9, 9, 70, 3, 3, 1)
    x, f = torch.rand(problem.input_shape), torch.rand(problem.filter_shape) - 0.5
    x[0, 0, 2, 3], x[1, 1, 5, 5], f[3, 0, 0, 0] = torch.inf, torch.nan, torch.inf
    y = torch.empty(problem.output_shape)
    verify.poison(y)
    TensorCorePlan(problem, CPU, library, tile, 1).run(x, f, y)
    expected = functional.conv2d(x, f)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize(
    "tile",
    [SLIDING_TILES[2], WGMMA_TILES[2], WGMMA_TILES[-1], MMA_SLIDING_TILES[0], *MMA_TILES[1:]],
    ids=name_of,
)
def test_each_output_is_as_accurate_as_fp32(tile: TensorCoreTile, library: EmulatedLibrary) -> None:
    """Values that lie far apart lose bits when they are split; outputs for which that matters are computed again."""
    problems = [
        ConvProblem(2, 4, 9, 13, 20, 1, 1),
        ConvProblem(1, 1, 9, 40, 5, 3, 3),
        ConvProblem(1, 5, 9, 13, 9, 3, 3, 2),
    ]
    for problem in problems:
        if (tile.parts == 3) != (problem.gemm_shape[2] <= K_BLOCK) and not isinstance(tile, SlidingTile):
            continue
        x, f = (
            torch.randn(shape) * 2.0 ** torch.randint(-20, 21, shape)
            for shape in (problem.input_shape, problem.filter_shape)
        )
        y = torch.empty(problem.output_shape)
        TensorCorePlan(problem, CPU, library, tile, 1).run(x, f, y)
        assert componentwise_error(x, f, y, problem) <= 1

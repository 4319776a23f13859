"""Winograd's minimal filtering on the tensor cores, run on the CPU (tests/emulation)."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from kernels.families import im2win_tensor_core_winograd
from kernels.families.im2win_tensor_core_winograd import Im2winTensorCoreWinograd, WinogradTensorCorePlan
from kernels.plan import UnsupportedError
from kernels.problem import ConvProblem
from kernels.reference import reference
from kernels.tiles.tensor_core_winograd import WINOGRAD_TILES, WinogradTile
from tests.emulation.launch import COMPILER, EmulatedLibrary
from tests.emulation.programs import emulated_kernels
from tests.problems import STRIPS
from tests.relative import BOUND, backward_error
from workflow.harness import verify

pytestmark = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")

CPU = torch.device("cpu")
TWO_OF_THREE, FOUR_OF_THREE = (
    next(tile for tile in WINOGRAD_TILES if tile.arguments.startswith(of)) for of in ("2, 3", "4, 3")
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> EmulatedLibrary:
    return EmulatedLibrary(tmp_path_factory, emulated_kernels())


def convolve(
    problem: ConvProblem,
    library: EmulatedLibrary,
    tile: WinogradTile,
    x: torch.Tensor,
    f: torch.Tensor,
    splits: int = 1,
    guarded: bool = True,
) -> torch.Tensor:
    """Y; without the guard what it would compute again is NaN, since it finds a filter of NaNs."""
    y = torch.empty(problem.output_shape)
    verify.poison(y)
    plan = WinogradTensorCorePlan(problem, CPU, library, tile, splits)
    plan.prepare(x, f)
    plan.compute(x, f if guarded else torch.full_like(f, torch.nan), y)
    return y


@pytest.mark.parametrize("tile", WINOGRAD_TILES, ids=lambda tile: tile.arguments)
def test_every_tile(tile: WinogradTile, library: EmulatedLibrary) -> None:
    able = [problem for problem in STRIPS if tile.supports(problem)]
    assert able
    for i, problem in enumerate(able):
        for integers in (True, False):
            x, f = torch.rand(problem.input_shape), torch.rand(problem.filter_shape) - 0.5
            if integers:
                x, f = (8 * x).round(), (16 * f).round()
            y = convolve(problem, library, tile, x, f, 1 + i % tile.k_blocks(problem), guarded=False)
            assert backward_error(x, f, y, problem) <= (0.0 if integers and tile.is_exact else BOUND / 2)


@pytest.mark.parametrize("tile", [TWO_OF_THREE, FOUR_OF_THREE], ids=lambda tile: tile.arguments)
def test_inf_and_nan_come_out_as_in_fp32(tile: WinogradTile, library: EmulatedLibrary) -> None:
    problem = ConvProblem(2, 2, 9, 9, 70, 3, 3, padding=1)
    x, f = torch.rand(problem.input_shape), torch.rand(problem.filter_shape) - 0.5
    x[0, 0, 2, 3], x[1, 1, 8, 5], f[3, 0, 0, 0] = torch.inf, torch.nan, torch.inf
    y = convolve(problem, library, tile, x, f).double()
    torch.testing.assert_close(y, reference(problem, x, f), rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("tile", [TWO_OF_THREE, FOUR_OF_THREE], ids=lambda tile: tile.arguments)
def test_a_huge_value_does_not_spoil_its_strip(tile: WinogradTile, library: EmulatedLibrary) -> None:
    """Each output is held to the sum of its own products' magnitudes; the guard computes the strip's others again."""
    problem = ConvProblem(1, 40, 12, 40, 66, 3, 3, 1)
    x, f = torch.randn(problem.input_shape), torch.randn(problem.filter_shape)
    x[0, 7, 5, 20] = 2.0**14
    magnitude = reference(problem, x.abs(), f.abs())

    def worst(y: torch.Tensor) -> float:
        return float(((y.double() - reference(problem, x, f)).abs() / magnitude).max())

    assert worst(convolve(problem, library, tile, x, f)) <= 2 * BOUND
    assert convolve(problem, library, tile, x, f, guarded=False).isnan().any()


@pytest.mark.parametrize("kind", ["zero beside ordinary values", "mostly zero", "all zero", "tiny"])
def test_ordinary_values_are_not_left_to_the_guard(kind: str, library: EmulatedLibrary) -> None:
    problem = ConvProblem(1, 40, 12, 40, 66, 3, 3, padding=1)
    x, f = torch.randn(problem.input_shape), torch.randn(problem.filter_shape)
    if kind == "zero beside ordinary values":
        x.relu_()
    elif kind == "mostly zero":
        x *= torch.rand(problem.input_shape) > 0.95
    elif kind == "all zero":
        x.zero_()
    else:
        x *= 1e-30
    for tile in (TWO_OF_THREE, FOUR_OF_THREE):
        y = convolve(problem, library, tile, x, f, guarded=False)
        assert backward_error(x, f, y, problem) <= BOUND / 2


def test_an_output_that_would_overflow_is_left_to_the_guard(library: EmulatedLibrary) -> None:
    problem = ConvProblem(1, 33, 6, 9, 5, 3, 3, 1)
    x, f = torch.full(problem.input_shape, 1e37), torch.full(problem.filter_shape, 0.1)
    torch.testing.assert_close(
        convolve(problem, library, FOUR_OF_THREE, x, f), functional.conv2d(x, f), rtol=1e-5, atol=0
    )
    f[0] = 3e38
    y = convolve(problem, library, FOUR_OF_THREE, x, f)
    assert y[:, 0].isinf().all()
    assert y[:, 1:].isfinite().all()


def test_only_the_kernel_after_the_preparation_overlaps(
    library: EmulatedLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlaps: list[bool] = []
    monkeypatch.setattr(library, "launch", lambda *_, overlap=False, **others: overlaps.append(overlap))
    monkeypatch.setattr(library, "fills_device", lambda *arguments: True)
    problem = ConvProblem(2, 70, 9, 11, 70, 3, 3, 1)
    x, f, y = (torch.empty(shape) for shape in (problem.input_shape, problem.filter_shape, problem.output_shape))
    for splits, run in ((1, [False, True]), (2, [False, True, False])):
        plan = WinogradTensorCorePlan(problem, CPU, library, TWO_OF_THREE, splits)
        overlaps.clear()
        plan.run(x, f, y)
        assert overlaps == run


@pytest.mark.parametrize(("times", "chosen"), [((3, 1, 2), 1), ((3, 2, 1), 2), ((1, 3, 2), 0)])
def test_the_fastest_tile_is_chosen(times: tuple[float, ...], chosen: int, library: EmulatedLibrary) -> None:
    problem = ConvProblem(1, 70, 7, 8, 9, 3, 3, 1)
    x, f, y = torch.rand(problem.input_shape), torch.rand(problem.filter_shape), torch.empty(problem.output_shape)
    choices = [(TWO_OF_THREE, 1), (FOUR_OF_THREE, 1), (TWO_OF_THREE, 2)]
    plan = WinogradTensorCorePlan(problem, CPU, library, *choices[0], choices[1:])
    left = iter(times)
    plan.autotune(x, f, y, lambda work: next(left))
    assert (plan._tile, plan._splits) == choices[chosen]
    verify.poison(y)
    plan.run(x, f, y)
    assert backward_error(x, f, y, problem) <= BOUND / 2


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (ConvProblem(1, 64, 9, 9, 8, 4, 3, 1), "filters of 3 x 3 and 5 x 5 at stride 1"),
        (ConvProblem(1, 64, 9, 19, 8, 3, 5, 1), "filters of 3 x 3 and 5 x 5 at stride 1"),
        (ConvProblem(1, 64, 9, 9, 8, 3, 3, 2), "filters of 3 x 3 and 5 x 5 at stride 1"),
        (ConvProblem(1, 64, 9, 9, 8, 3, 3, dilation=2, groups=2), "it takes no dilation and no groups"),
        (ConvProblem(1, 3, 9, 9, 8, 3, 3, 1), "with 3 input channels its error would be larger than"),
        (ConvProblem(1, 17000, 256, 256, 8, 3, 3, 1), "X has 4 GiB or more"),
    ],
    ids=str,
)
def test_what_is_declined(
    problem: ConvProblem, said: str, library: EmulatedLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(im2win_tensor_core_winograd, "has_wgmma", lambda device: True)
    with pytest.raises(UnsupportedError, match=said):
        Im2winTensorCoreWinograd("im2win_tensor_core_winograd").plan(problem, CPU, library, tf32=False)


def test_strips_of_more_rows_take_more_channels() -> None:
    """Their error is larger, and sequential FP32's grows with the reduction."""
    for channels, strips in ((31, set()), (32, {2}), (64, {2, 3, 4})):
        problem = ConvProblem(1, channels, 9, 9, 8, 3, 3, 1)
        able = [tile for tile in WINOGRAD_TILES if tile.supports(problem)]
        assert {tile.outputs for tile in able if tile.is_accurate(problem)} == strips


def test_needs_hopper(library: EmulatedLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(im2win_tensor_core_winograd, "has_wgmma", lambda device: False)
    with pytest.raises(UnsupportedError, match="wgmma"):
        Im2winTensorCoreWinograd("im2win_tensor_core_winograd").plan(STRIPS[0], CPU, library, tf32=False)

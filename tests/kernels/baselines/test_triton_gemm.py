"""The implicit GEMM in Triton: the convolution, by Triton's interpreter; what it declines, and its choice of a tile."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
import torch

from kernels import algorithm as algorithms
from kernels.baselines import triton_gemm
from kernels.baselines.triton_gemm import TILES, TritonPlan
from kernels.plan import UnsupportedError
from kernels.problem import ConvProblem

SMALL = ConvProblem(2, 3, 9, 8, 5, 3, 3)
#: In a process of its own: Triton looks whether it is to interpret kernels when it is imported.
INTERPRETED = """
import torch
from kernels.baselines.triton_gemm import TILES, TritonPlan
from kernels.problem import ConvProblem
from tests.problems import EDGES, MIXED
from tests.relative import BOUND, backward_error
from workflow.harness import verify

cases = [(problem, TILES[0]) for problem in EDGES + MIXED if problem.groups == 1]
cases += [(ConvProblem(3, 5, 11, 12, 150, 3, 3, padding=1), tile) for tile in TILES]
for problem, tile in cases:
    x, f = torch.rand(problem.input_shape), torch.rand(problem.filter_shape) - 0.5
    y = torch.empty(problem.output_shape)
    verify.poison(y)
    plan = TritonPlan(problem)
    plan._tile = tile
    plan.run(x, f, y)
    assert backward_error(x, f, y, problem) <= BOUND, (problem, tile)
print(len(cases), "cases")
"""


def test_it_is_the_convolution_with_every_tile() -> None:
    """By Triton's interpreter, on the CPU."""
    if find_spec("triton") is None:
        pytest.skip("Triton is not installed: it comes with PyTorch's CUDA build")
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    command = [sys.executable, "-W", "ignore", "-c", INTERPRETED]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "31 cases\n"


class FakeTriton:
    """As much of Triton as choosing takes; the tile of `too_large` channels and pixels does not fit."""

    class OutOfResources(Exception):
        pass

    def __init__(self, too_large: tuple[int, int] = (0, 0)) -> None:
        self._too_large = too_large
        self.ran: list[dict[str, Any]] = []

    def jit(self, function: Any, do_not_specialize: list[str]) -> Any:
        return self

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        return lambda *arguments, **options: self._launch(grid, arguments[-3:], options)

    def _launch(self, grid: tuple[int, ...], sizes: tuple[int, ...], options: dict[str, int]) -> None:
        if sizes[:2] == self._too_large:
            raise self.OutOfResources
        self.ran.append({"grid": grid, "sizes": sizes} | options)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTriton]:
    one = FakeTriton((TILES[2].channels, TILES[2].pixels))
    monkeypatch.setattr(triton_gemm, "triton", one)
    triton_gemm._kernel.cache_clear()
    yield one
    triton_gemm._kernel.cache_clear()


def test_the_fastest_tile_that_fits_is_kept(fake: FakeTriton) -> None:
    plan = TritonPlan(ConvProblem(4, 3, 18, 18, 130, 3, 3))
    given = (torch.empty(0),) * 3
    plan.run(*given)
    assert fake.ran == [{"grid": (3 * 16,), "sizes": (64, 64, 32), "num_warps": 4, "num_stages": 3}]
    times = iter([5.0, 4.0, 1.0, 2.0, 3.0])
    plan.autotune(*given, lambda work: next(times))
    plan.run(*given)
    assert next(times, None) is None
    assert fake.ran[-1]["sizes"] == (TILES[3].channels, TILES[3].pixels, TILES[3].step)


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (ConvProblem(2, 6, 9, 8, 9, 3, 3, groups=3), "it takes no groups"),
        (ConvProblem(1, 2**10, 2**11, 2**10, 1, 1, 1), "too large for the 32-bit offsets"),
    ],
    ids=str,
)
def test_what_it_declines(problem: ConvProblem, reason: str, fake: FakeTriton) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        TritonPlan(problem)


def test_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_gemm, "triton", None)
    with pytest.raises(UnsupportedError, match="Triton is not installed"):
        TritonPlan(SMALL)


def test_without_a_gpu() -> None:
    algorithm = algorithms.load("triton_tf32x3", triton_gemm.__name__)
    with pytest.raises(UnsupportedError, match="needs an NVIDIA GPU"):
        algorithm.plan(SMALL, torch.device("cpu"), None, tf32=False)


def test_the_tiles_differ() -> None:
    assert all(one != other for one, other in itertools.combinations(TILES, 2))

"""The CPU backend: the im2win transform by its definition, every algorithm against float64 and exactly on integers."""

from __future__ import annotations

import pytest
import torch

from kernels import algorithm as algorithms
from kernels.families.cpu import im2win_transform
from kernels.plan import UnsupportedError
from kernels.problem import ConvProblem
from kernels.reference import pad
from tests.problems import EDGES, MIXED, mixed_problems, random_problems
from tests.relative import BOUND, backward_error
from workflow.harness import verify

NAMES = ["cpu_direct", "cpu_im2col", "cpu_im2win", "cpu_fft", "cpu_torch"]
#: Larger than a tile of the FFT in one direction, in both, and by exactly one output.
TILED = [
    ConvProblem(2, 3, 70, 45, 5, 5, 3, 2),
    ConvProblem(1, 2, 33, 20, 3, 2, 2, 1),
    ConvProblem(1, 2, 20, 61, 3, 1, 3, 3),
    ConvProblem(1, 4, 31, 60, 6, 5, 4, stride=(2, 1), padding=((3, 1), (0, 5)), groups=2),
]
PROBLEMS = EDGES + TILED + random_problems(12, seed=2) + MIXED + mixed_problems(40, seed=3)


@pytest.mark.parametrize("problem", EDGES + MIXED, ids=str)
def test_window_tensor_is_the_papers(problem: ConvProblem) -> None:
    """I[n][c][ho][w * Hf + u] = X[n][c][ho * stride + u * dilation][w] with X padded, value for value."""
    rows = problem.rows
    x = torch.rand(problem.input_shape)
    padded = pad(problem, x)
    window = im2win_transform(x, problem)
    assert window.shape == problem.window_tensor_shape
    for ho in range(problem.out_height):
        for u in range(problem.kernel_h):
            row = padded[:, :, ho * rows.stride + u * rows.dilation]
            assert torch.equal(window[:, :, ho, u :: problem.kernel_h], row)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_convolution(name: str, problem: ConvProblem) -> None:
    algorithm = algorithms.load(name, "kernels.families.cpu")
    if name == "cpu_fft" and problem.dilation != (1, 1):
        with pytest.raises(UnsupportedError, match="it takes no dilation"):
            algorithm.plan(problem, torch.device("cpu"), None, tf32=False)
        return
    plan = algorithm.plan(problem, torch.device("cpu"), None, tf32=False)
    y = torch.empty(problem.output_shape)
    x, f = torch.rand(problem.input_shape), torch.rand(problem.filter_shape) - 0.5
    verify.poison(y)
    plan.run(x, f, y)
    assert backward_error(x, f, y, problem) <= BOUND
    x, f = torch.randint(-8, 9, problem.input_shape).float(), torch.randint(-8, 9, problem.filter_shape).float()
    verify.poison(y)
    plan.run(x, f, y)
    assert backward_error(x, f, y, problem) <= (BOUND if name == "cpu_fft" else 0.0)


def test_workspace_counts_what_is_padded() -> None:
    problem = ConvProblem(2, 4, 5, 6, 8, 3, 2, padding=((1, 0), (2, 1)), groups=2)
    padded, pixels = 2 * 4 * 6 * 9, 2 * 4 * 8
    expected = {
        "cpu_direct": padded,
        "cpu_im2col": padded + 4 * 3 * 2 * pixels,
        "cpu_im2win": padded + 2 * 4 * 4 * (9 * 3) + 8 * 2 * 3 * 2,
    }
    for name, values in expected.items():
        plan = algorithms.load(name, "kernels.families.cpu").plan(problem, torch.device("cpu"), None, tf32=False)
        assert plan.workspace_bytes == 4 * values, name


def test_unknown_algorithm_lists_those_there_are() -> None:
    with pytest.raises(KeyError, match="cpu_im2win"):
        algorithms.load("cpu_im2wim", "kernels.families.cpu")


def test_a_filter_larger_than_a_tile_is_declined() -> None:
    problem = ConvProblem(1, 1, 50, 50, 1, 40, 40, 1)
    with pytest.raises(UnsupportedError, match="larger than a tile"):
        algorithms.load("cpu_fft", "kernels.families.cpu").plan(problem, torch.device("cpu"), None, tf32=False)

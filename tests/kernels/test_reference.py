"""The float64 reference: PyTorch's own padding and 1-D convolution on the same problems, and the sum that it is."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from kernels.problem import ConvProblem
from kernels.reference import pad, reference
from tests.problems import EDGES, MIXED, mixed_problems

PROBLEMS = EDGES + MIXED + mixed_problems(60, seed=6)


def tensors(problem: ConvProblem) -> tuple[torch.Tensor, torch.Tensor]:
    """Integers, so that every way of adding them up has one result."""
    x, f = (torch.randint(-8, 9, shape) for shape in (problem.input_shape, problem.filter_shape))
    return x.float(), f.float()


@pytest.mark.parametrize("problem", [one for one in PROBLEMS if one.is_padded_evenly], ids=str)
def test_pytorch_pads_evenly_itself(problem: ConvProblem) -> None:
    x, f = tensors(problem)
    (above, _), (left, _) = problem.padding
    y = functional.conv2d(x.double(), f.double(), None, problem.stride, (above, left), problem.dilation, problem.groups)
    assert y.shape == problem.output_shape
    assert torch.equal(reference(problem, x, f), y)


@pytest.mark.parametrize("problem", [one for one in PROBLEMS if one.height == one.kernel_h == 1], ids=str)
def test_one_row_is_pytorchs_convolution_in_one_dimension(problem: ConvProblem) -> None:
    x, f = tensors(problem)
    columns = problem.columns
    padded = functional.pad(x.double(), (columns.before, columns.after))[:, :, 0]
    y = functional.conv1d(padded, f.double()[:, :, 0], None, columns.stride, 0, columns.dilation, problem.groups)
    assert torch.equal(reference(problem, x, f)[:, :, :1], y[:, :, None])


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_an_output_is_the_sum_of_its_taps_inside(problem: ConvProblem) -> None:
    """A few outputs, each added up from X as it is: no padding takes part."""
    x, f = tensors(problem)
    y = reference(problem, x, f)
    assert y.shape == problem.output_shape
    chance = torch.Generator().manual_seed(0)
    for _ in range(10):
        n, o, ho, wo = (int(torch.randint(size, (), generator=chance)) for size in problem.output_shape)
        group = o // problem.group_out_channels
        channels = slice(group * problem.group_in_channels, (group + 1) * problem.group_in_channels)
        total = 0.0
        for u in problem.rows.taps_inside(ho):
            for v in problem.columns.taps_inside(wo):
                row = ho * problem.stride[0] + u * problem.dilation[0] - problem.rows.before
                column = wo * problem.stride[1] + v * problem.dilation[1] - problem.columns.before
                total += float(x[n, channels, row, column] @ f[o, :, u, v])
        assert float(y[n, o, ho, wo]) == total


@pytest.mark.parametrize("problem", MIXED, ids=str)
def test_padding_is_zeros_around_x(problem: ConvProblem) -> None:
    x, _ = tensors(problem)
    padded = pad(problem, x)
    assert padded.shape[2:] == (problem.rows.padded, problem.columns.padded)
    rows, columns = problem.rows, problem.columns
    inside = padded[:, :, rows.before : rows.before + rows.size, columns.before : columns.before + columns.size]
    assert torch.equal(inside, x)
    assert padded.abs().sum() == x.abs().sum()

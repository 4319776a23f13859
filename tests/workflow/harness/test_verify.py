"""Correctness checks: what is wrong is found, a NaN above all."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from kernels.problem import ConvProblem
from workflow.harness import distributions, verify

PROBLEM = ConvProblem(2, 3, 9, 8, 4, 3, 2, 2)


@pytest.fixture
def convolved() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x, f = torch.rand(2, 3, 9, 8), torch.rand(4, 3, 3, 2) - 0.5
    return x, f, functional.conv2d(x, f, stride=2)


def test_right(convolved: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    assert verify.error(PROBLEM, *convolved).within(1e-6, 1e-6)


def test_known_error(convolved: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    x, f, y = convolved
    error = verify.error(PROBLEM, x, f, y * 1.01)
    assert error.fro == pytest.approx(0.01, rel=1e-3)
    assert error.max == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e3])
@pytest.mark.parametrize("place", [(0, 0, 0, 0), (1, 3, 3, 3)])
def test_one_wrong_element_is_never_within(
    convolved: tuple[torch.Tensor, torch.Tensor, torch.Tensor], value: float, place: tuple[int, ...]
) -> None:
    x, f, y = convolved
    y[place] = value
    assert not verify.error(PROBLEM, x, f, y).within(1e-3, 1e-2)


def test_an_unwritten_element_is_found(convolved: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    x, f, y = convolved
    right = y.clone()
    verify.poison(y)
    y[:, :, :-1] = right[:, :, :-1]
    assert math.isnan(verify.error(PROBLEM, x, f, y).fro)


def test_zero_reference() -> None:
    x, f = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 1, 1)
    point = ConvProblem(1, 1, 2, 2, 1, 1, 1, 1)
    assert verify.error(point, x, f, torch.zeros(1, 1, 2, 2)) == verify.Error(0.0, 0.0)
    assert not verify.error(point, x, f, torch.full((1, 1, 2, 2), 1e-9)).within(1e-3, 1e-3)


@pytest.mark.parametrize("name", distributions.CHECKED)
def test_inputs_are_fresh(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    x, f = torch.empty(20, 20), torch.empty(20, 20)
    distributions.CHECKED[name](x, f, generator)
    first = x.clone()
    distributions.CHECKED[name](x, f, generator)
    assert not torch.equal(x, first)
    assert x.isfinite().all() and f.isfinite().all()


def test_what_is_timed_and_what_is_not() -> None:
    generator = torch.Generator().manual_seed(1)
    x, f = torch.empty(99, 99), torch.empty(99, 99)
    distributions.uniform(x, f, generator)
    assert float(x.min()) >= 0.0 and float(x.max()) < 1.0 and float(f.abs().max()) <= 0.5
    distributions.scaled_normal(x, f, generator)
    assert float(x.min()) < 0.0 and float(x.std() / f.std()) not in (0.0, 1.0)
    distributions.log_uniform(x, f, generator)
    assert float(x.min()) < -32.0 and float(x.max()) > 32.0 and float(x.abs().min()) < 2.0**-5


def test_unwritten_elements_are_counted() -> None:
    y = torch.empty(3, 4)
    verify.poison(y)
    assert y.isnan().all()
    assert verify.unwritten(y) == 12
    y[0, :2] = math.nan  # some other NaN is written
    assert verify.unwritten(y) == 10


def test_only_some_images(convolved: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    x, f, y = convolved
    y[1] += 1
    assert verify.error(PROBLEM, x, f, y, [0]).within(1e-6, 1e-6)
    assert not verify.error(PROBLEM, x, f, y, [1]).within(1e-6, 1e-6)

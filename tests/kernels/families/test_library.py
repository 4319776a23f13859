"""Padding that a library does not take is written out; what it takes is left to it."""

from __future__ import annotations

import pytest
import torch

from kernels.families.library import LibraryPlan
from kernels.problem import ConvProblem
from kernels.reference import pad
from tests.problems import MIXED


class Recording(LibraryPlan):
    """Remembers what its library is given."""

    def _convolve(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self.given = x.clone()


@pytest.mark.parametrize("problem", MIXED, ids=str)
def test_what_the_library_is_asked_for(problem: ConvProblem) -> None:
    plan = Recording(problem, torch.device("cpu"))
    asked = plan._problem
    assert asked.is_padded_evenly
    assert asked.output_shape == problem.output_shape
    for _ in range(2):
        x = torch.rand(problem.input_shape)
        plan.run(x, torch.empty(0), torch.empty(0))
        if problem.is_padded_evenly:
            assert asked == problem
            assert torch.equal(plan.given, x)
            assert plan._padded_bytes == 0
        else:
            assert not asked.is_padded
            assert torch.equal(plan.given, pad(problem, x))
            assert plan._padded_bytes == 4 * plan.given.numel()


def test_padding_is_that_of_rows_and_columns() -> None:
    problem = ConvProblem(1, 1, 5, 5, 1, 3, 3, padding=(1, 2))
    assert Recording(problem, torch.device("cpu"))._padding == (1, 2)

"""The plans for cuBLAS, on the CPU: PyTorch's operations are the same there, by another library's products."""

from __future__ import annotations

import pytest
import torch

from kernels import algorithm as algorithms
from kernels.plan import UnsupportedError
from kernels.problem import ConvProblem
from tests.problems import EDGES, MIXED, mixed_problems
from tests.relative import BOUND, backward_error
from workflow.harness import verify

CPU = torch.device("cpu")
PROBLEMS = EDGES + MIXED + mixed_problems(20, seed=4)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
@pytest.mark.parametrize("name", ["im2col_cublas", "cublas_gemm_ceiling"])
def test_convolution(name: str, problem: ConvProblem) -> None:
    algorithm = algorithms.load(name, "kernels.families.cublas")
    if name == "im2col_cublas" and problem.is_depthwise:
        with pytest.raises(UnsupportedError, match="depthwise"):
            algorithm.plan(problem, CPU, None, tf32=False)
        return
    plan = algorithm.plan(problem, CPU, None, tf32=False)
    y = torch.empty(problem.output_shape)
    for _ in range(2):  # whose border is zero still is when the plan runs again
        x, f = torch.rand(problem.input_shape), torch.rand(problem.filter_shape) - 0.5
        verify.poison(y)
        plan.run(x, f, y)
        assert backward_error(x, f, y, problem) <= BOUND
    x, f = torch.randint(-8, 9, problem.input_shape).float(), torch.randint(-8, 9, problem.filter_shape).float()
    plan.run(x, f, y)
    assert backward_error(x, f, y, problem) == 0.0


def test_the_ceiling_counts_a_column_matrix_for_each_group() -> None:
    problem = ConvProblem(2, 6, 5, 7, 4, 3, 3, padding=1, groups=2)
    plan = algorithms.load("cublas_gemm_ceiling", "kernels.families.cublas").plan(problem, CPU, None, tf32=False)
    pixels = 2 * 5 * 7
    assert plan.workspace_bytes == 4 * (6 * 9 * pixels + 4 * pixels)

"""How wrong a convolution at an odd shape may be: as a share of what was added up, not of what came out."""

from __future__ import annotations

import torch

from kernels.problem import ConvProblem
from kernels.reference import reference

#: A float32 convolution of the tests' sizes is far below this; one wrong element of a hundred thousand is above it.
BOUND = 2e-6


def backward_error(x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, problem: ConvProblem) -> float:
    """max|Y - X * F| / max(|X| * |F|), both in float64: NaN if Y holds one, 0 only if Y is exact.

    An odd shape may have a single output, and its sum may cancel to almost nothing; relative to that nothing every
    rounding is large. The sum of the magnitudes is what rounding errors are proportional to (N. Higham, Accuracy and
    Stability of Numerical Algorithms, 2nd edition, section 3.1).
    """
    magnitude = reference(problem, x.abs(), f.abs())
    worst = (y.double() - reference(problem, x, f)).abs().max()
    return float(worst / magnitude.max()) if magnitude.max() > 0 else float(worst)


def componentwise_error(x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, problem: ConvProblem) -> float:
    """The largest |Y - X * F| / (2 (K + 8) u (|X| * |F|)) of an output, u = 2^-24: at most 1 in class fp32_accurate.

    Sequential FP32 is within K u of the magnitudes that it adds up. NaN if Y holds one.
    """
    allowed = 2 * (problem.gemm_shape[2] + 8) * 2.0**-24 * reference(problem, x.abs(), f.abs())
    error = (y.double() - reference(problem, x, f)).abs()
    return float(torch.where(error == 0, error, error / allowed).max())

"""How wrong a convolution at an odd shape may be: as a share of what was added up, not of what came out."""

from __future__ import annotations

import torch
from torch.nn import functional

#: A float32 convolution of the tests' sizes is far below this; one wrong element of a hundred thousand is above it.
BOUND = 2e-6


def backward_error(x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, stride: int) -> float:
    """max|Y - X * F| / max(|X| * |F|), both in float64: NaN if Y holds one, 0 only if Y is exact.

    An odd shape may have a single output, and its sum may cancel to almost nothing; relative to that nothing every
    rounding is large. The sum of the magnitudes is what rounding errors are proportional to (N. Higham, Accuracy and
    Stability of Numerical Algorithms, 2nd edition, section 3.1).
    """
    with torch.backends.cudnn.flags(enabled=False):
        reference = functional.conv2d(x.double(), f.double(), stride=stride)
        magnitude = functional.conv2d(x.double().abs(), f.double().abs(), stride=stride)
    worst = (y.double() - reference).abs().max()
    return float(worst / magnitude.max()) if magnitude.max() > 0 else float(worst)

"""Correctness of a convolution's output against float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class Error:
    """Distance of an output from the float64 reference; NaN if the output holds a NaN.

    `fro` is ||y - ref|| / ||ref||, `max` is max|y - ref| / max|ref|.
    """

    fro: float
    max: float

    def within(self, fro: float, max: float) -> bool:
        """Both errors are at most these bounds. Written so that a NaN is never within."""
        return self.fro <= fro and self.max <= max


def poison(y: torch.Tensor) -> None:
    """Fill the output with NaN, so that an element that nobody writes is found."""
    y.fill_(math.nan)


def refresh(x: torch.Tensor, f: torch.Tensor, generator: torch.Generator) -> None:
    """Fresh inputs: X uniform in [0, 1), F uniform in [-0.5, 0.5)."""
    x.uniform_(0.0, 1.0, generator=generator)
    f.uniform_(-0.5, 0.5, generator=generator)


def error(x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, stride: int) -> Error:
    """How far Y is from the convolution of X and F in float64, computed image by image on the same device.

    The reference is PyTorch's float64 convolution without cuDNN: nothing that is measured here takes part in it.
    """
    difference_square = reference_square = difference_max = reference_max = 0.0
    f64 = f.double()
    with torch.backends.cudnn.flags(enabled=False):
        for image in range(x.shape[0]):
            reference = functional.conv2d(x[image : image + 1].double(), f64, stride=stride)
            difference = y[image : image + 1].double() - reference
            sums = torch.stack(
                [
                    difference.square().sum(),
                    reference.square().sum(),
                    difference.abs().max(),
                    reference.abs().max(),
                ]
            ).tolist()
            difference_square += sums[0]
            reference_square += sums[1]
            # max() of floats may lose a NaN; the sum of squares keeps it.
            difference_max = max(difference_max, sums[2])
            reference_max = max(reference_max, sums[3])
    if math.isnan(difference_square):
        return Error(math.nan, math.nan)
    if reference_square == 0.0:  # nothing to be relative to: exactly right, or infinitely wrong
        wrong = math.inf if difference_square else 0.0
        return Error(wrong, wrong)
    return Error(math.sqrt(difference_square / reference_square), difference_max / reference_max)

"""How far a convolution's output is from the float64 reference, and whether all of it was written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from kernels.problem import ConvProblem
from kernels.reference import reference

#: The bits of the NaN that marks an element as unwritten: arithmetic on finite numbers never yields just this one.
_POISON = 0x7FC0DEAD


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
    """Fill the output with one NaN, so that an element that is never written is found."""
    bits(y).fill_(_POISON)


def unwritten(y: torch.Tensor) -> int:
    """How many elements still are as `poison` left them."""
    return int((bits(y) == _POISON).sum())


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory as 32-bit integers: NaNs can be compared, and nothing is rounded."""
    return tensor.view(torch.int32)


def error(
    problem: ConvProblem, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, images: Iterable[int] | None = None
) -> Error:
    """How far Y is from the float64 convolution of X and F, image by image on their device; only `images` if given."""
    difference_square = reference_square = difference_max = reference_max = 0.0
    for image in range(x.shape[0]) if images is None else images:
        expected = reference(problem, x[image : image + 1], f)
        difference = y[image : image + 1].double() - expected
        sums = torch.stack(
            [
                difference.square().sum(),
                expected.square().sum(),
                difference.abs().max(),
                expected.abs().max(),
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

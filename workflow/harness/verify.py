"""Correctness of a convolution's output against float64, and the inputs that it is checked on."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch.nn import functional

#: The bits of the NaN that marks what nobody has written: no arithmetic of finite numbers makes just this one.
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
    """Fill the output with one NaN, so that an element that nobody writes is found."""
    bits(y).fill_(_POISON)


def unwritten(y: torch.Tensor) -> int:
    """How many elements still are as `poison` left them."""
    return int((bits(y) == _POISON).sum())


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory as 32-bit integers: NaNs can be compared, and nothing is rounded."""
    return tensor.view(torch.int32)


def uniform(x: torch.Tensor, f: torch.Tensor, generator: torch.Generator) -> None:
    """X uniform in [0, 1), F uniform in [-0.5, 0.5): what is timed."""
    x.uniform_(0.0, 1.0, generator=generator)
    f.uniform_(-0.5, 0.5, generator=generator)


def normal(x: torch.Tensor, f: torch.Tensor, generator: torch.Generator) -> None:
    """X and F normal about zero, each times its own power of two from 2^-6 to 2^6."""
    chance = random.Random(_draw(generator))
    for tensor in (x, f):
        tensor.normal_(0.0, 2.0 ** chance.randint(-6, 6), generator=generator)


def wide(x: torch.Tensor, f: torch.Tensor, generator: torch.Generator) -> None:
    """Both signs, and magnitudes from 2^-6 to 2^6 with every power of two as likely."""
    for tensor in (x, f):
        tensor.uniform_(-1.0, 1.0, generator=generator)
        sign = tensor.sign()
        tensor.abs_().mul_(12.0).sub_(6.0).exp2_().mul_(sign)


Distribution = Callable[[torch.Tensor, torch.Tensor, torch.Generator], None]
#: What an algorithm that only knows the timed inputs fails on is among the others.
DISTRIBUTIONS: dict[str, Distribution] = {"uniform": uniform, "normal": normal, "wide": wide}


def _draw(generator: torch.Generator) -> int:
    return int(torch.randint(2**31, (1,), generator=generator, device=generator.device))


def error(x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, stride: int, images: Iterable[int] | None = None) -> Error:
    """How far Y is from the convolution of X and F in float64, computed image by image on the same device.

    Only `images` if given. The reference is PyTorch's float64 convolution without cuDNN: nothing that is measured
    here takes part in it.
    """
    difference_square = reference_square = difference_max = reference_max = 0.0
    f64 = f.double()
    with torch.backends.cudnn.flags(enabled=False):
        for image in range(x.shape[0]) if images is None else images:
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

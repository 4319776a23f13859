"""What X and F are filled with: what is timed, what results are checked on, and what errors are compared on."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import torch

from kernels.problem import ConvProblem

#: Fills X and F in place.
Distribution = Callable[[torch.Tensor, torch.Tensor, torch.Generator], None]


def uniform(x: torch.Tensor, f: torch.Tensor, generator: torch.Generator) -> None:
    """X uniform in [0, 1), F uniform in [-0.5, 0.5): what is timed."""
    x.uniform_(0.0, 1.0, generator=generator)
    f.uniform_(-0.5, 0.5, generator=generator)


def scaled_normal(x: torch.Tensor, f: torch.Tensor, generator: torch.Generator) -> None:
    """X and F normal about zero, each times a power of two of its own from 2^-6 to 2^6."""
    chance = random.Random(_draw(generator))
    for tensor in (x, f):
        tensor.normal_(0.0, 2.0 ** chance.randint(-6, 6), generator=generator)


def log_uniform(x: torch.Tensor, f: torch.Tensor, generator: torch.Generator) -> None:
    """Both signs, and magnitudes from 2^-6 to 2^6 with every power of two as likely."""
    for tensor in (x, f):
        tensor.uniform_(-1.0, 1.0, generator=generator)
        sign = tensor.sign()
        tensor.abs_().mul_(12.0).sub_(6.0).exp2_().mul_(sign)


def _normal(x: torch.Tensor, f: torch.Tensor, generator: torch.Generator) -> None:
    x.normal_(generator=generator)
    f.normal_(generator=generator)


def _same_sign(x: torch.Tensor, f: torch.Tensor, generator: torch.Generator) -> None:
    x.uniform_(0.0, 1.0, generator=generator)
    f.uniform_(0.0, 1.0, generator=generator)


def _wide_exponent(x: torch.Tensor, f: torch.Tensor, generator: torch.Generator) -> None:
    x.uniform_(math.log(1e-6), 0.0, generator=generator).exp_()
    f.normal_(generator=generator).mul_(1e-5)


def _one_large(x: torch.Tensor, f: torch.Tensor, generator: torch.Generator) -> None:
    _normal(x, f, generator)
    x.view(-1)[x.numel() // 2] = 2.0**20


def _tiny(x: torch.Tensor, f: torch.Tensor, generator: torch.Generator) -> None:
    _normal(x, f, generator)
    x.mul_(1e-30)


def _huge(x: torch.Tensor, f: torch.Tensor, generator: torch.Generator) -> None:
    _normal(x, f, generator)
    x.mul_(1e18)
    f.mul_(1e18)


#: Those that every result is checked on. An algorithm that only knows the timed inputs fails on the others.
CHECKED: dict[str, Distribution] = {"uniform": uniform, "scaled_normal": scaled_normal, "log_uniform": log_uniform}
#: Those on which errors are compared (workflow.accuracy): each stresses a convolution's arithmetic in another way.
COMPARED: dict[str, Distribution] = {
    "uniform": uniform,
    "normal": _normal,
    "same_sign": _same_sign,  # the worst case for sums that are truncated
    "wide_exponent": _wide_exponent,  # X log-uniform over six orders of magnitude
    "one_large": _one_large,  # one value of 2^20 among ordinary ones
    "tiny": _tiny,  # about 1e-30
    "huge": _huge,  # about 1e36
}


def make(name: str, problem: ConvProblem, device: torch.device, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """X and F of one of COMPARED, the same for the same seed. Raises KeyError, listing the names that there are."""
    if name not in COMPARED:
        raise KeyError(f"there is no distribution {name!r}; there are {', '.join(COMPARED)}")
    x = torch.empty(problem.input_shape, device=device)
    f = torch.empty(problem.filter_shape, device=device)
    COMPARED[name](x, f, torch.Generator(device).manual_seed(seed))
    return x, f


def _draw(generator: torch.Generator) -> int:
    return int(torch.randint(2**31, (1,), generator=generator, device=generator.device))

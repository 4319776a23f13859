"""Inputs on which accuracy is compared: kinds of X and F that stress a convolution's arithmetic in different ways."""

from __future__ import annotations

import math

import torch

from kernels.problem import ConvProblem
from workflow.harness.verify import Distribution, uniform


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


#: Name -> what fills X and F.
DISTRIBUTIONS: dict[str, Distribution] = {
    "uniform": uniform,  # X in [0, 1), F in [-0.5, 0.5): that of the measurements
    "normal": _normal,
    "same_sign": _same_sign,  # the worst case for sums that are truncated
    "wide_exponent": _wide_exponent,  # X log-uniform over six orders of magnitude
    "one_large": _one_large,  # one value of 2^20 among ordinary ones
    "tiny": _tiny,  # about 1e-30
    "huge": _huge,  # about 1e36
}


def make(name: str, problem: ConvProblem, device: torch.device, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """X and F of the distribution `name`, the same for the same seed. Raises KeyError, listing the names there are."""
    if name not in DISTRIBUTIONS:
        raise KeyError(f"there is no distribution {name!r}; there are {', '.join(DISTRIBUTIONS)}")
    x = torch.empty(problem.input_shape, device=device)
    f = torch.empty(problem.filter_shape, device=device)
    DISTRIBUTIONS[name](x, f, torch.Generator(device).manual_seed(seed))
    return x, f

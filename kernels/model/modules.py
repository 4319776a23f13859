"""Convolution modules that call the operator, and their exchange in a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd

from .dispatch import NUMERICS
from .operator import conv1d, conv2d


class _Convolved(_ConvNd):
    """A convolution module whose class says which function computes it."""

    #: See `kernels.model.operator.conv2d`.
    numerics = NUMERICS[0]
    fallback = True
    relu = False
    convolve: ClassVar[Callable[..., torch.Tensor]]

    def forward(self, input: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """The convolution; plus `residual`, and with negative values set to zero if `relu` is set."""
        return self._conv_forward(input, self.weight, self.bias, residual)

    def _conv_forward(
        self,
        input: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        residual: torch.Tensor | None = None,
    ) -> torch.Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = functional.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = 0
        how = {"residual": residual, "relu": self.relu, "numerics": self.numerics, "fallback": self.fallback}
        return type(self).convolve(input, weight, bias, self.stride, padding, self.dilation, self.groups, **how)


class Conv1d(_Convolved, nn.Conv1d):
    """`torch.nn.Conv1d`, computed by this project's kernels where they take it."""

    convolve = staticmethod(conv1d)


class Conv2d(_Convolved, nn.Conv2d):
    """`torch.nn.Conv2d`, computed by this project's kernels where they take it."""

    convolve = staticmethod(conv2d)


#: PyTorch's module -> the one that takes its place.
REPLACED_BY: dict[type[nn.Module], type[nn.Module]] = {nn.Conv1d: Conv1d, nn.Conv2d: Conv2d}


@dataclass
class Conversion:
    """What `convert` did: names of the modules that it replaced, and of those that it left -> why."""

    replaced: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{len(self.replaced)} convolutions replaced, {len(self.left)} left"]
        return "\n".join([*lines, *(f"  {name}: {why}" for name, why in self.left.items())])


def convert(
    model: nn.Module,
    numerics: str = NUMERICS[0],
    *,
    fallback: bool = True,
    only: Callable[[str, nn.Module], bool] = lambda name, module: True,
) -> Conversion:
    """Have the convolution modules of `model` computed by this project's kernels, in place; `restore` undoes it.

    A module stays the object that it is, with its parameters, hooks and names; only its class changes. Weights are
    prepared at the first call, and again when they change. `numerics` and `fallback` as in `conv2d`; `only` says which
    modules, by name and module. Raises ValueError for an unknown class of arithmetic.
    """
    if numerics not in NUMERICS:
        raise ValueError(f"numerics is {numerics!r}; it must be one of {', '.join(NUMERICS)}")
    done = Conversion()
    for name, module in model.named_modules():
        if not isinstance(module, _ConvNd):
            continue
        if why := _why_not(name, module, only):
            done.left[name] = why
            continue
        module.__class__ = REPLACED_BY.get(type(module), type(module))  # type: ignore[assignment]
        module.numerics, module.fallback = numerics, fallback  # type: ignore[assignment]
        done.replaced.append(name)
    return done


def restore(model: nn.Module) -> list[str]:
    """Undo `convert`, in place; the names of the modules that are PyTorch's again."""
    back = {ours: theirs for theirs, ours in REPLACED_BY.items()}
    found = [(name, module) for name, module in model.named_modules() if type(module) in back]
    for _, module in found:
        module.__class__ = back[type(module)]
        for key in ("numerics", "fallback", "relu"):
            module.__dict__.pop(key, None)
    return [name for name, _ in found]


def _why_not(name: str, module: nn.Module, only: Callable[[str, nn.Module], bool]) -> str:
    """Why a convolution stays PyTorch's; empty if it does not."""
    if type(module) not in (*REPLACED_BY, *REPLACED_BY.values()):
        plain = any(type(module) is getattr(nn, kind, None) for kind in dir(nn))
        return "transposed or 3-D" if plain else f"a class of its own, {type(module).__name__}"
    if not only(name, module):
        return "not asked for"
    if module.weight.dtype != torch.float32:
        return f"its weight is {module.weight.dtype}, and the kernels take torch.float32"
    return ""

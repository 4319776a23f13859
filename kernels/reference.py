"""The float64 convolution that every result is compared with."""

from __future__ import annotations

import torch
from torch.nn import functional

from .problem import ConvProblem


def reference(problem: ConvProblem, x: torch.Tensor, f: torch.Tensor) -> torch.Tensor:
    """Y = X * F in float64, shape [images][out_channels][out_height][out_width].

    `x` may hold some of the problem's images instead of all: a large batch in float64 does not fit into memory.
    Computed on the tensors' device by PyTorch without cuDNN: nothing that is measured here takes part in it.
    """
    with torch.backends.cudnn.flags(enabled=False):
        return functional.conv2d(
            pad(problem, x.double()),
            f.double(),
            stride=problem.stride,
            dilation=problem.dilation,
            groups=problem.groups,
        )


def pad(problem: ConvProblem, x: torch.Tensor) -> torch.Tensor:
    """X with the problem's padding written out, shape [images][in_channels][padded height][padded width]."""
    (above, below), (left, right) = problem.padding
    return functional.pad(x, (left, right, above, below)) if problem.is_padded else x

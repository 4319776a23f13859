"""cuDNN on tensors in the layout NHWC (PyTorch's channels last), which its engines for tensor cores are made for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ..algorithm import Algorithm, register
from ..families.cudnn_autotuned import AutotunedPlan
from ..plan import Plan, UnsupportedError
from ..problem import ConvProblem

if TYPE_CHECKING:
    from ..launch import KernelLibrary


class ChannelsLastPlan(AutotunedPlan):
    """X and F are converted in `prepare`; `compute` convolves in NHWC and converts Y back.

    Y has to be in NCHW when `compute` ends, so that its conversion is part of `kernel_only` too. Padding that differs
    before and after is written out as X is converted. Workspace: X with that padding, F and Y in NHWC, and what cuDNN's
    engine asks for.
    """

    def __init__(self, problem: ConvProblem, device: torch.device, tf32: bool) -> None:
        asked, (above, left) = problem, (0, 0)
        if not problem.is_padded_evenly:
            (above, _), (left, _) = problem.padding
            height, width = problem.rows.padded, problem.columns.padded
            asked = replace(problem, height=height, width=width, padding=((0, 0), (0, 0)))
        super().__init__(asked, device, tf32)
        self._x, self._f, self._y = (
            _channels_last(shape, device) for shape in (asked.input_shape, asked.filter_shape, asked.output_shape)
        )
        self._inside = self._x[:, :, above : above + problem.height, left : left + problem.width]

    def prepare(self, x: torch.Tensor, f: torch.Tensor) -> None:
        self._inside.copy_(x)
        self._f.copy_(f)

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        # PyTorch asks cuDNN for the layout of the output (`cudnn_convolution_forward_out`, aten/src/ATen/native/cudnn).
        self._convolve(self._x, self._f, self._y)
        y.copy_(self._y)


def _channels_last(shape: tuple[int, int, int, int], device: torch.device) -> torch.Tensor:
    """Zeros of the shape (N, C, H, W) that lie in memory as NHWC."""
    n, c, h, w = shape
    return torch.zeros((n, h, w, c), device=device).permute(0, 3, 1, 2)


@register("cudnn_channels_last")
class CudnnChannelsLast(Algorithm):
    """What a user of PyTorch does who turns on channels last: convert, convolve with cudnn.benchmark, convert back."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        if not torch.backends.cudnn.is_available():
            raise UnsupportedError("this PyTorch has no cuDNN")
        return ChannelsLastPlan(problem, device, tf32)

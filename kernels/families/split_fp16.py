"""Error compensation with a stock FP16 convolution: a baseline for what the library alone gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from ..algorithm import Algorithm, register
from ..plan import Plan, UnsupportedError, take_only
from ..problem import ConvProblem
from .library import LibraryPlan

if TYPE_CHECKING:
    from ..launch import KernelLibrary


class SplitChannelsPlan(LibraryPlan):
    """PyTorch allocates the workspace: X and F in FP16 with three times the channels, and Y in FP16."""

    workspace_bytes = None

    def __init__(self, problem: ConvProblem, device: torch.device) -> None:
        take_only(problem, padding=True, dilation=True)
        if not torch.backends.cudnn.is_available():
            raise UnsupportedError("this PyTorch has no cuDNN")
        super().__init__(problem, device)

    def _convolve(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        x_high, f_high = x.half(), f.half()
        x_low, f_low = (x - x_high).half(), (f - f_high).half()
        channels = torch.cat([x_high, x_high, x_low], dim=1), torch.cat([f_high, f_low, f_high], dim=1)
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            p = self._problem
            y.copy_(functional.conv2d(*channels, stride=p.stride, padding=self._padding, dilation=p.dilation))


@register("split_fp16_channels")
class SplitFp16Channels(Algorithm):
    """cuDNN's FP16 convolution of [high, high, low] and [high, low, high] channels: three products in one call.

    Fast, and a measure of the speed that is there to be had; but the library sums the whole reduction in the tensor
    core, which truncates, and rounds Y to FP16.
    """

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        if device.type != "cuda":
            raise UnsupportedError("this algorithm is cuDNN's FP16 convolution: it needs an NVIDIA GPU")
        return SplitChannelsPlan(problem, device)

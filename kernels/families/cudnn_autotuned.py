"""The cuDNN engine that PyTorch's autotuner chooses (`torch.backends.cudnn.benchmark`)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from kernels.algorithm import Algorithm, Plan, UnsupportedError, register
from kernels.problem import ConvProblem

if TYPE_CHECKING:
    from kernels.launch import KernelLibrary

#: PyTorch is asked so often at least, then until its choice is about as good as its best one, and so often at most.
_LEAST_ASKED, _MOST_ASKED, _AS_GOOD = 5, 15, 1.02
#: How many choices PyTorch keeps (PyTorch's documentation, "CUDA Environment Variables").
_KEPT = "TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT"


class AutotunedPlan(Plan):
    """PyTorch tries cuDNN's engines, keeps the fastest and allocates its workspace.

    It times each engine once, and may choose a slow one: in a process's first run the time takes in what is loaded then
    and whatever the host does meanwhile, and the caches are warm. So when the plan is settled it is asked again until
    its choice is good. For that it has to forget the one before: a process that makes this plan ahead of its first
    convolution keeps one choice, and a convolution of another shape takes its place.
    """

    workspace_bytes = None

    def __init__(self, problem: ConvProblem, tf32: bool) -> None:
        self._stride = problem.stride
        self._tf32 = tf32
        torch.backends.cudnn.benchmark_limit = 0  # try every engine, not only the first ten
        os.environ[_KEPT] = "1"

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        _convolve(x, f, y, self._stride, self._tf32)

    def autotune(
        self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, time: Callable[[Callable[[], None]], float]
    ) -> None:
        def ask() -> float:
            forget(x.device)
            self.run(x, f, y)
            return time(lambda: self.run(x, f, y))

        ask_until_good(ask)


def ask_until_good(ask: Callable[[], float]) -> None:
    """Call `ask`, which makes a choice and returns its time, until a choice is about as good as the best of several."""
    best = math.inf
    for asked in range(1, _MOST_ASKED + 1):
        time = ask()
        best = min(best, time)
        if asked >= _LEAST_ASKED and time <= _AS_GOOD * best:
            return


def forget(device: torch.device) -> None:
    """Let a tiny convolution take the one place that there is for a choice."""
    x, f, y = (torch.zeros(1, 1, size, size, device=device) for size in (8, 3, 6))
    _convolve(x, f, y, stride=1, tf32=False)


def _convolve(x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, stride: int, tf32: bool) -> None:
    # What torch.conv2d calls; called by name, it writes into Y itself.
    torch.ops.aten.cudnn_convolution.out(
        x,
        f,
        padding=[0, 0],
        stride=[stride, stride],
        dilation=[1, 1],
        groups=1,
        benchmark=True,
        deterministic=False,
        allow_tf32=tf32,
        out=y,
    )


@register("cudnn_autotuned")
class CudnnAutotuned(Algorithm):
    """The engine that PyTorch's autotuner finds fastest."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        if not torch.backends.cudnn.is_available():
            raise UnsupportedError("this PyTorch has no cuDNN")
        return AutotunedPlan(problem, tf32)

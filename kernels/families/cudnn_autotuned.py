"""The cuDNN engine that PyTorch's autotuner chooses (`torch.backends.cudnn.benchmark`)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from kernels.algorithm import Algorithm, register
from kernels.plan import Plan, UnsupportedError
from kernels.problem import ConvProblem

if TYPE_CHECKING:
    from kernels.launch import KernelLibrary

#: How often PyTorch searches at least and at most, and by what factor its last choice may be slower than its best one.
_MIN_TRIES, _MAX_TRIES, _GOOD_ENOUGH = 5, 15, 1.02
#: How many choices PyTorch caches (PyTorch's documentation, "CUDA Environment Variables").
_CACHE_LIMIT = "TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT"


class AutotunedPlan(Plan):
    """PyTorch tries cuDNN's engines, keeps the fastest and allocates its workspace.

    It times each engine once and may choose a slow one: in a process's first run the time includes loading kernels and
    whatever else the host does, and the caches are warm. So `autotune` repeats the search until the choice is good. For
    that the choice before must leave PyTorch's cache: made before the process's first convolution, this plan limits
    that cache to one entry, which a convolution of another shape replaces.
    """

    workspace_bytes = None

    def __init__(self, problem: ConvProblem, tf32: bool) -> None:
        self._stride = problem.stride
        self._tf32 = tf32
        torch.backends.cudnn.benchmark_limit = 0  # try every engine, not only the first ten
        os.environ[_CACHE_LIMIT] = "1"

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        _convolve(x, f, y, self._stride, self._tf32)

    def autotune(
        self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, time: Callable[[Callable[[], None]], float]
    ) -> None:
        def search() -> float:
            forget(x.device)
            self.run(x, f, y)
            return time(lambda: self.run(x, f, y))

        search_until_good(search)


def search_until_good(search: Callable[[], float]) -> None:
    """Call `search`, which makes a choice and returns its time, until one is about as good as the best of several."""
    best = math.inf
    for tries in range(1, _MAX_TRIES + 1):
        time = search()
        best = min(best, time)
        if tries >= _MIN_TRIES and time <= _GOOD_ENOUGH * best:
            return


def forget(device: torch.device) -> None:
    """Replace the one cached choice by that of a tiny convolution."""
    x, f, y = (torch.zeros(1, 1, size, size, device=device) for size in (8, 3, 6))
    _convolve(x, f, y, stride=(1, 1), tf32=False)


def _convolve(x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, stride: tuple[int, int], tf32: bool) -> None:
    # What torch.conv2d calls; called by name, it writes into Y itself.
    torch.ops.aten.cudnn_convolution.out(
        x,
        f,
        padding=[0, 0],
        stride=list(stride),
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

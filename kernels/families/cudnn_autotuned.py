"""The cuDNN engine that PyTorch's autotuner chooses (`torch.backends.cudnn.benchmark`)."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from ..algorithm import Algorithm, register
from ..plan import Plan, UnsupportedError
from ..problem import ConvProblem
from .library import LibraryPlan

if TYPE_CHECKING:
    from ..launch import KernelLibrary

#: How often PyTorch searches at least and at most, and by what factor its last choice may be slower than its best one.
_MIN_TRIES, _MAX_TRIES, _GOOD_ENOUGH = 5, 15, 1.02
#: How many choices PyTorch caches (PyTorch's documentation, "CUDA Environment Variables").
_CACHE_LIMIT = "TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT"
#: These two PyTorch reads at a process's first convolution, and keeps: whether to ask cuDNN's older interface, and
#: whether to say, in a warning, which one it asks (`cudnnv8_enabled_check_debug` in aten/src/ATen/native/ConvUtils.h).
_OLDER, _SAY_WHICH = "TORCH_CUDNN_V8_API_DISABLED", "TORCH_CUDNN_V8_API_DEBUG"
_SAYS_OLDER = "V8 ON: 0"


class AutotunedPlan(LibraryPlan):
    """PyTorch tries cuDNN's engines, keeps the fastest and allocates its workspace.

    It times each engine once and may choose a slow one: in a process's first run the time includes loading kernels and
    whatever else the host does, and the caches are warm. So `autotune` repeats the search until the choice is good. For
    that the choice before must leave PyTorch's cache: made before the process's first convolution, this plan limits
    that cache to one entry, which a convolution of another shape replaces.
    """

    workspace_bytes = None

    def __init__(self, problem: ConvProblem, device: torch.device, tf32: bool) -> None:
        super().__init__(problem, device)
        self._tf32 = tf32
        torch.backends.cudnn.benchmark_limit = 0  # try every engine, not only the first ten
        os.environ[_CACHE_LIMIT] = "1"

    def _convolve(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        _convolve(self._problem, x, f, y, self._tf32)

    def autotune(
        self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, time: Callable[[Callable[[], None]], float]
    ) -> None:
        """What `prepare` does is not timed, since it is the same for every choice."""

        def search() -> float:
            forget(x.device)
            self.run(x, f, y)
            return time(lambda: self.compute(x, f, y))

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
    problem = ConvProblem(1, 1, 8, 8, 1, 3, 3)
    shapes = (problem.input_shape, problem.filter_shape, problem.output_shape)
    x, f, y = (torch.zeros(shape, device=device) for shape in shapes)
    _convolve(problem, x, f, y, tf32=False)


class LegacyAutotunedPlan(LibraryPlan):
    """PyTorch has cuDNN's older interface time its forward algorithms, keeps the fastest and allocates its workspace.

    Which interface is asked PyTorch decides at a process's first convolution, which therefore has to be this plan's;
    PyTorch then says which one it was, and a run that asked another one fails.

    Its choices for the older interface PyTorch keeps as long as the process lives, one for each problem and for whether
    only deterministic algorithms are asked for. All of cuDNN's forward algorithms are, so asking for them is a second
    search for the same: the first one, in which kernels are loaded, is not the only one.
    """

    workspace_bytes = None

    def __init__(self, problem: ConvProblem, device: torch.device, tf32: bool) -> None:
        super().__init__(problem, device)
        self._tf32 = tf32
        self._is_asked = False
        self._deterministic = False

    def _convolve(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        if self._is_asked:
            _convolve(self._problem, x, f, y, self._tf32, self._deterministic)
            return
        with asking_the_older_interface():
            _convolve(self._problem, x, f, y, self._tf32)
        self._is_asked = True

    def autotune(
        self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, time: Callable[[Callable[[], None]], float]
    ) -> None:
        times = {}
        for self._deterministic in (False, True):
            self.run(x, f, y)  # searches, the first time
            times[self._deterministic] = time(lambda: self.run(x, f, y))
        self._deterministic = times[True] < times[False]


@contextmanager
def asking_the_older_interface() -> Iterator[None]:
    """The process's first convolution, which has to be inside, asks cuDNN's older interface, and so do all later ones.

    Raises RuntimeError if PyTorch does not say that it asked it: it had a convolution before, or does not know the
    older interface any more.
    """
    os.environ |= {_OLDER: "1", _SAY_WHICH: "1"}
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            yield
    finally:
        for name in (_OLDER, _SAY_WHICH):
            del os.environ[name]
    if not any(_SAYS_OLDER in str(warning.message) for warning in said):
        raise RuntimeError("PyTorch does not say that it asked cuDNN's older interface in its first convolution")


def _convolve(
    problem: ConvProblem, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, tf32: bool, deterministic: bool = False
) -> None:
    """`problem` is padded evenly."""
    (above, _), (left, _) = problem.padding
    # What torch.conv2d calls; called by name, it writes into Y itself.
    torch.cudnn_convolution(
        x,
        f,
        padding=[above, left],
        stride=list(problem.stride),
        dilation=list(problem.dilation),
        groups=problem.groups,
        benchmark=True,
        deterministic=deterministic,
        allow_tf32=tf32,
        out=y,
    )


def _require_cudnn() -> None:
    if not torch.backends.cudnn.is_available():
        raise UnsupportedError("this PyTorch has no cuDNN")


@register("cudnn_autotuned")
class CudnnAutotuned(Algorithm):
    """The engine that PyTorch's autotuner finds fastest."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        _require_cudnn()
        return AutotunedPlan(problem, device, tf32)


@register("cudnn_autotuned_legacy")
class CudnnAutotunedLegacy(Algorithm):
    """What PyTorch's autotuner finds fastest with TORCH_CUDNN_V8_API_DISABLED=1.

    cuDNN's older interface offers its forward algorithms, FFT and Winograd among them. The one that PyTorch asks by
    itself offers engines; on some layers the one has the faster choice, on some the other.
    """

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        _require_cudnn()
        return LegacyAutotunedPlan(problem, device, tf32)

"""Tiles and algorithms of a convolution chosen by timing them, where PyTorch's autotuner chooses cuDNN's engine so."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from ..plan import Plan
from ..problem import ConvProblem

_REPEATS = 5
#: For about two milliseconds the device does nothing, while the host queues what is to be timed.
_PAUSE_CLOCKS = 4_000_000


def is_on(device: torch.device) -> bool:
    """Whether PyTorch's autotuner is on, `torch.backends.cudnn.benchmark`, for a device that has one."""
    return device.type == "cuda" and torch.backends.cudnn.benchmark


def is_capturing(device: torch.device) -> bool:
    """Whether a CUDA graph is captured, when nothing can be timed."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def tune(plan: Plan, problem: ConvProblem, device: torch.device) -> None:
    """Have a plan choose by timing on random data, if it knows several ways and there is memory for the data."""
    try:
        x, f, y = tensors(problem, device)
        plan.run(x, f, y)
        plan.autotune(x, f, y, time)
    except torch.OutOfMemoryError:
        return


def tensors(problem: ConvProblem, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """X, F and Y."""
    # Random numbers of its own: those of a program are not to depend on whether anything is timed.
    generator = torch.Generator(device).manual_seed(0)
    how: dict[str, Any] = {"device": device, "dtype": torch.float32}
    x, f = (torch.randn(shape, generator=generator, **how) for shape in (problem.input_shape, problem.filter_shape))
    return x, f, torch.empty(problem.output_shape, **how)


def time(work: Callable[[], None]) -> float:
    """The device's time for `work`, which has run before, in milliseconds: the median of a few."""
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(_REPEATS)]
    torch.cuda._sleep(_PAUSE_CLOCKS)
    for start, end in events:
        start.record()
        work()
        end.record()
    torch.cuda.current_stream().synchronize()
    return median(start.elapsed_time(end) for start, end in events)

"""Samples of how long a piece of work takes on a device, until the median is known well enough."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from workflow import statistics

#: Samples between two looks at the interval and at the device's clock.
_CHECK_EVERY = 10
#: The buffer that displaces the L2 cache is this many times its size.
_FLUSH_FACTOR = 2


class Clock(ABC):
    """Takes one sample after the other, in milliseconds."""

    @abstractmethod
    def sample(self, work: Callable[[], None]) -> float:
        """Run `work` once and return its time in milliseconds."""


class WallClock(Clock):
    """The host's clock around work and synchronization: launch overhead included, caches warm."""

    def __init__(self, device: torch.device) -> None:
        self._synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None

    def sample(self, work: Callable[[], None]) -> float:
        self._synchronize()
        start = time.perf_counter()
        work()
        self._synchronize()
        return 1e3 * (time.perf_counter() - start)


class DeviceClock(Clock):
    """CUDA events around the work. The work is queued behind other work that outlasts its launches on the host, so
    that launch overhead is no part of the time.

    That other work is the flush: it writes a buffer larger than the L2 cache, so that the work finds it cold. With a
    warm L2 it is the work itself.
    """

    def __init__(self, device: torch.device, cold_l2: bool) -> None:
        self._start = torch.cuda.Event(enable_timing=True)
        self._end = torch.cuda.Event(enable_timing=True)
        self._buffer: torch.Tensor | None = None
        if cold_l2:
            size = _FLUSH_FACTOR * torch.cuda.get_device_properties(device).L2_cache_size
            self._buffer = torch.empty(max(size, 2**25), dtype=torch.uint8, device=device)
        self._repeats: int | None = None

    def sample(self, work: Callable[[], None]) -> float:
        if self._repeats is None:
            self._repeats = self._repeats_to_outlast(work)
        for _ in range(self._repeats):
            self._displace(work)
        self._start.record()
        work()
        self._end.record()
        self._end.synchronize()
        return float(self._start.elapsed_time(self._end))

    def _displace(self, work: Callable[[], None]) -> None:
        if self._buffer is None:
            work()
        else:
            self._buffer.zero_()

    def _repeats_to_outlast(self, work: Callable[[], None]) -> int:
        """How many displacements take the device longer than the host needs to launch `work`."""
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        launch_seconds = time.perf_counter() - start
        torch.cuda.synchronize()
        self._start.record()
        for _ in range(10):
            self._displace(work)
        self._end.record()
        self._end.synchronize()
        displace_seconds = self._start.elapsed_time(self._end) / 1e3 / 10
        return 1 + int(1.5 * launch_seconds / displace_seconds)


@dataclass(frozen=True)
class Timing:
    """The samples of one protocol in milliseconds, their estimate, and why sampling stopped."""

    samples: list[float]
    estimate: statistics.Estimate
    stop_reason: str
    sm_clocks_mhz: list[float]


def make_clock(protocol: dict[str, Any], device: torch.device) -> Clock:
    """The clock that a protocol asks for; the CPU backend has only the wall clock."""
    if device.type != "cuda" or protocol["clock"] == "wall":
        return WallClock(device)
    return DeviceClock(device, protocol["cold_l2"])


def measure(
    work: Callable[[], None],
    protocol: dict[str, Any],
    device: torch.device,
    estimate: Callable[[list[float]], statistics.Estimate],
    read_sm_clock: Callable[[], float | None],
) -> Timing:
    """Sample `work` under `protocol` until `estimate` is within `target_half_width`, or a limit is met.

    The stop reason is "converged", "max_samples" or "max_seconds". `read_sm_clock` is asked between samples.
    """
    clock = make_clock(protocol, device)
    _warm_up(clock, work, protocol["warmup_seconds"])
    samples: list[float] = []
    sm_clocks: list[float] = []
    deadline = time.perf_counter() + protocol["max_seconds"]
    while True:
        samples.append(clock.sample(work))
        n = len(samples)
        if n % _CHECK_EVERY == 1 and (mhz := read_sm_clock()) is not None:
            sm_clocks.append(mhz)
        stop = _stop_reason(samples, protocol, time.perf_counter() > deadline)
        if stop is not None:
            return Timing(samples, estimate(samples), stop, sm_clocks)


def _warm_up(clock: Clock, work: Callable[[], None], seconds: float) -> None:
    """Run until `seconds` have passed, at least once: the code is loaded and the device's clock has risen."""
    deadline = time.perf_counter() + seconds
    clock.sample(work)
    while time.perf_counter() < deadline:
        clock.sample(work)


def _stop_reason(samples: list[float], protocol: dict[str, Any], late: bool) -> str | None:
    n = len(samples)
    if n < protocol["min_samples"]:
        return None
    if n % _CHECK_EVERY == 0 and statistics.median(samples).half_width <= protocol["target_half_width"]:
        return "converged"
    if n >= protocol["max_samples"]:
        return "max_samples"
    return "max_seconds" if late else None

"""Samples of how long a piece of work takes on a device, until the median is known well enough."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from analysis.table import statistics
from analysis.table.schema import OTHER_LOAD
from workflow.harness.gate import Gate
from workflow.harness.load import MOST_CORES
from workflow.harness.monitor import Monitor, Reading, slow, throttled

#: Samples after which the interval is looked at again.
_CHECK_EVERY = 10
#: How long to wait at most for an idle device to raise its clock.
_RISE_SECONDS = 5.0
#: Pause after a sample that was taken while the device was slowed down.
_RECOVERY_SECONDS = 0.05
#: Sampling ends when at least this many samples were discarded, and more than were kept.
_LEAST_DISCARDED = 20
#: How many samples a time takes that is only compared with others.
_FEW_SAMPLES = 9
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
    """CUDA events around the work, queued while a gate blocks the stream: launch overhead is no part of the time.

    Before the work a flush writes a buffer larger than the L2 cache, so that the work finds it cold; for a warm L2 the
    work itself runs first. What is timed must have run before: loading a kernel may synchronize.
    """

    def __init__(self, device: torch.device, cold_l2: bool) -> None:
        self._start = torch.cuda.Event(enable_timing=True)
        self._end = torch.cuda.Event(enable_timing=True)
        self._gate = Gate()
        self._buffer: torch.Tensor | None = None
        if cold_l2:
            size = _FLUSH_FACTOR * torch.cuda.get_device_properties(device).L2_cache_size
            self._buffer = torch.zeros(max(size, 2**25), dtype=torch.uint8, device=device)

    def sample(self, work: Callable[[], None]) -> float:
        with self._gate.closed():
            if self._buffer is None:
                work()
            else:
                self._buffer.zero_()
            self._start.record()
            work()
            self._end.record()
        self._end.synchronize()
        return float(self._start.elapsed_time(self._end))


@dataclass(frozen=True)
class Timing:
    """The samples of one protocol in milliseconds, their estimate, and why sampling stopped."""

    samples: list[float]
    estimate: statistics.Estimate
    stop_reason: str
    #: What was read around each of the samples, and around each that was discarded, with its time.
    readings: list[Reading]
    discarded: list[tuple[float, Reading]]
    #: How many cores of the CPU backend other programs kept busy meanwhile; None on a GPU.
    others: float | None = None

    @property
    def sm_clock_mhz(self) -> float | None:
        """The median over the samples of the lower clock around each."""
        clocks = [one.sm_clock_mhz for one in self.readings if one.sm_clock_mhz is not None]
        return statistics.median(clocks).value if clocks else None


class ThrottledError(Exception):
    """The device was slowed down so often that too few samples are left."""


def make_clock(protocol: dict[str, Any], device: torch.device) -> Clock:
    """The clock that a protocol asks for; the CPU backend has only the wall clock."""
    if device.type != "cuda" or protocol["clock"] == "wall":
        return WallClock(device)
    return DeviceClock(device, protocol["cold_l2"])


def cold_clock(device: torch.device) -> Clock:
    """The device's own clock, on a GPU with a cold L2; the CPU has only the wall clock."""
    return DeviceClock(device, cold_l2=True) if device.type == "cuda" else WallClock(device)


def quick_median(clock: Clock, work: Callable[[], None], samples: int = _FEW_SAMPLES) -> float:
    """The median of a few samples of `work` in milliseconds, after one to warm up: to compare, not to publish."""
    clock.sample(work)
    return statistics.median([clock.sample(work) for _ in range(samples)]).value


def measure(
    clock: Clock,
    work: Callable[[], None],
    protocol: dict[str, Any],
    estimate: Callable[[list[float]], statistics.Estimate],
    monitor: Monitor,
    before_each: Callable[[], None] = lambda: None,
) -> Timing:
    """Sample `work` under `protocol` until the median is within `target_half_width`, or a limit is met.

    The stop reason is "converged", "max_samples", "max_seconds" or "throttled": more samples were discarded, because
    the device was slowed down, than kept. Samples that were taken beside other programs on the CPU are taken again
    once these are quiet; if they are not within `quiet_seconds`, the samples stay and the stop reason is "other_load".
    `before_each` runs ahead of every sample and is not timed. Raises ThrottledError where fewer than `min_samples` are
    left.
    """
    patience = time.perf_counter() + protocol["quiet_seconds"]
    while True:
        _warm_up(clock, work, protocol["warmup_seconds"], monitor)
        watch = monitor.watch()
        result = _sample(clock, work, protocol, estimate, monitor, before_each)
        others = watch.cores() if watch else None
        result = replace(result, others=others)
        if others is None or others <= MOST_CORES:
            return result
        if not _becomes_quiet(monitor, patience):
            return replace(result, stop_reason=OTHER_LOAD)


def _becomes_quiet(monitor: Monitor, patience: float) -> bool:
    """Wait for it until `patience`, a time of the performance counter."""
    while time.perf_counter() < patience:
        watch = monitor.watch()
        if watch is None or (watch.cores() or 0.0) <= MOST_CORES:
            return True
    return False


def _sample(
    clock: Clock,
    work: Callable[[], None],
    protocol: dict[str, Any],
    estimate: Callable[[list[float]], statistics.Estimate],
    monitor: Monitor,
    before_each: Callable[[], None],
) -> Timing:
    samples: list[float] = []
    readings: list[Reading] = []
    discarded: list[tuple[float, Reading]] = []
    deadline = time.perf_counter() + protocol["max_seconds"]
    before = monitor.read()
    while True:
        before_each()
        sample = clock.sample(work)
        after = monitor.read()
        around = before | after
        before = after
        if throttled(around, monitor.usual_mhz):
            discarded.append((sample, around))
            time.sleep(_RECOVERY_SECONDS)
            before = monitor.read()
        else:
            samples.append(sample)
            readings.append(around)
        stop = _stop_reason(samples, len(discarded), protocol, time.perf_counter() > deadline)
        if stop is not None:
            return Timing(samples, estimate(samples), stop, readings, discarded)
        if _gives_up(len(samples), len(discarded)):
            raise ThrottledError(_describe(samples, discarded, monitor.usual_mhz))


def _warm_up(clock: Clock, work: Callable[[], None], seconds: float, monitor: Monitor) -> None:
    """Run until `seconds` have passed, at least once, and the device's clock has risen, if it does in _RISE_SECONDS."""
    start = time.perf_counter()
    clock.sample(work)
    while (passed := time.perf_counter() - start) < seconds or (
        passed < _RISE_SECONDS and slow(monitor.read(), monitor.usual_mhz)
    ):
        clock.sample(work)


def _stop_reason(samples: list[float], discarded: int, protocol: dict[str, Any], late: bool) -> str | None:
    n = len(samples)
    if n < protocol["min_samples"]:
        return None
    if n % _CHECK_EVERY == 0 and statistics.median(samples).half_width <= protocol["target_half_width"]:
        return "converged"
    if n >= protocol["max_samples"]:
        return "max_samples"
    if _gives_up(n, discarded):
        return "throttled"
    return "max_seconds" if late else None


def _gives_up(kept: int, discarded: int) -> bool:
    return discarded >= _LEAST_DISCARDED and discarded > kept


def _describe(samples: list[float], discarded: list[tuple[float, Reading]], usual_mhz: float | None) -> str:
    whys = Counter(throttled(reading, usual_mhz) for _, reading in discarded)
    (why, _), *_ = whys.most_common(1)
    clocks = [reading.sm_clock_mhz for _, reading in discarded if reading.sm_clock_mhz is not None]
    at = f" at {min(clocks):.0f} to {max(clocks):.0f} MHz" if clocks else ""
    return (
        f"{len(discarded)} of {len(samples) + len(discarded)} samples were taken{at} while the device was slowed down "
        f"({why}) and were discarded; let it cool down, or see what limits its power"
    )


def conditions(result: Timing, usual_mhz: float | None) -> dict[str, Any]:
    """Under which clocks the samples were taken, why these were lowered, and which samples were discarded for it."""
    clocks = [one.sm_clock_mhz for one in result.readings if one.sm_clock_mhz is not None]
    return {
        "sm_clock_low_mhz": min(clocks, default=None),
        "sm_clock_high_mhz": max(clocks, default=None),
        "usual_clock_mhz": usual_mhz,
        "other_load_cores": result.others,
        "lowered_for": dict(Counter(name for one in result.readings for name in one.names())),
        "discarded": [
            {"time_ms": time_ms, "sm_clock_mhz": one.sm_clock_mhz, "why": throttled(one, usual_mhz)}
            for time_ms, one in result.discarded
        ],
    }

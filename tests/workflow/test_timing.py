"""Sampling stops for the reason it gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import pytest
import torch

from workflow import statistics, timing

PROTOCOL: dict[str, Any] = {
    "clock": "device",
    "cold_l2": True,
    "warmup_seconds": 0.0,
    "min_samples": 5,
    "max_samples": 50,
    "max_seconds": 5.0,
    "target_half_width": 0.005,
}


class FakeClock(timing.Clock):
    def __init__(self, times: Iterator[float]) -> None:
        self.times = times

    def sample(self, work: Callable[[], None]) -> float:
        work()
        return next(self.times)


def measure(monkeypatch: pytest.MonkeyPatch, times: list[float], **changes: Any) -> tuple[timing.Timing, int]:
    calls = 0

    def work() -> None:
        nonlocal calls
        calls += 1

    monkeypatch.setattr(timing, "make_clock", lambda *_: FakeClock(cycle(times)))
    protocol = PROTOCOL | changes
    result = timing.measure(work, protocol, torch.device("cpu"), statistics.median, lambda: 1980.0)
    return result, calls


def test_steady_samples_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    result, calls = measure(monkeypatch, [2.0])
    assert result.stop_reason == "converged"
    assert len(result.samples) == 10
    assert result.estimate.value == 2.0
    assert calls == 11  # one to warm up
    assert result.sm_clocks_mhz == [1980.0]


def test_noisy_samples_meet_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = measure(monkeypatch, [1.0 + n % 10 for n in range(60)])
    assert result.stop_reason == "max_samples"
    assert len(result.samples) == 50


def test_slow_samples_meet_the_time_limit_but_not_before_the_least_number(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = measure(monkeypatch, [1.0, 3.0], max_seconds=0.0, min_samples=7)
    assert result.stop_reason == "max_seconds"
    assert len(result.samples) == 7


def test_warm_up_lasts() -> None:
    started = time.perf_counter()
    timing.measure(
        lambda: None,
        PROTOCOL | {"warmup_seconds": 0.2, "max_seconds": 0.0},
        torch.device("cpu"),
        statistics.median,
        lambda: None,
    )
    assert time.perf_counter() - started > 0.2


def test_wall_clock() -> None:
    clock = timing.WallClock(torch.device("cpu"))
    assert clock.sample(lambda: time.sleep(0.02)) == pytest.approx(20, rel=0.5)

"""Sampling stops for the reason it gives."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from analysis.table import statistics
from workflow.harness import load, timing
from workflow.harness.load import OtherLoad
from workflow.harness.monitor import REASONS, Reading, throttled

PROTOCOL: dict[str, Any] = {
    "clock": "device",
    "cold_l2": True,
    "warmup_seconds": 0.0,
    "min_samples": 5,
    "max_samples": 50,
    "max_seconds": 5.0,
    "target_half_width": 0.005,
    "quiet_seconds": 5.0,
}


class FakeClock(timing.Clock):
    def __init__(self, times: list[float]) -> None:
        self.times = cycle(times)

    def sample(self, work: Callable[[], None]) -> float:
        work()
        return next(self.times)


class FakeLoad(OtherLoad):
    def __init__(self, cores: float) -> None:
        self.fixed = cores

    def cores(self) -> float:
        return self.fixed


class FakeMonitor:
    """Gives these readings, and the last one for ever; and as many busy cores, one time after the other."""

    usual_mhz: float | None = 2000.0

    def __init__(self, *readings: Reading, others: Sequence[float] = ()) -> None:
        self.readings = list(readings) or [Reading(1980.0)]
        self.others = list(others)

    def watch(self) -> OtherLoad | None:
        return FakeLoad(self.others.pop(0)) if self.others else None

    def read(self) -> Reading:
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_RECOVERY_SECONDS", 0.0)


def measure(times: list[float], monitor: FakeMonitor | None = None, **changes: Any) -> tuple[timing.Timing, int]:
    calls = 0

    def work() -> None:
        nonlocal calls
        calls += 1

    protocol = PROTOCOL | changes
    return timing.measure(FakeClock(times), work, protocol, statistics.median, monitor or FakeMonitor()), calls


def test_steady_samples_converge() -> None:
    result, calls = measure([2.0])
    assert result.stop_reason == "converged"
    assert len(result.samples) == 10
    assert result.estimate.value == 2.0
    assert calls == 11  # one to warm up
    assert result.sm_clock_mhz == 1980.0
    assert not result.discarded


def test_noisy_samples_meet_the_limit() -> None:
    result, _ = measure([1.0 + n % 10 for n in range(60)])
    assert result.stop_reason == "max_samples"
    assert len(result.samples) == 50


def test_slow_samples_meet_the_time_limit_but_not_before_the_least_number() -> None:
    result, _ = measure([1.0, 3.0], max_seconds=0.0, min_samples=7)
    assert result.stop_reason == "max_seconds"
    assert len(result.samples) == 7


def test_what_comes_before_each_sample_is_not_timed() -> None:
    times: list[str] = []
    timing.measure(
        timing.WallClock(torch.device("cpu")),
        lambda: times.append("work"),
        PROTOCOL | {"max_samples": 3, "min_samples": 3},
        statistics.median,
        FakeMonitor(),
        lambda: times.append("before"),
    )
    assert times == ["work", *["before", "work"] * 3]


HOT = Reading(1980.0, REASONS["thermal slowdown (hardware)"])
CAPPED = Reading(1600.0, REASONS["power cap"])


def test_samples_around_a_slowdown_are_discarded() -> None:
    """The third reading lies between the first and the second sample; the warm-up takes the first one."""
    result, _ = measure(
        [1.0, 2.0, 3.0, 4.0], FakeMonitor(Reading(1980.0), Reading(1980.0), HOT, HOT, Reading(1980.0)), max_samples=10
    )
    assert [time for time, _ in result.discarded] == [2.0, 3.0]  # the warm-up took the first time
    assert result.samples[:3] == [4.0, 1.0, 2.0]
    assert result.discarded[0][1].names() == ["thermal slowdown (hardware)"]


@pytest.mark.parametrize(
    ("reading", "why"),
    [
        (Reading(1400.0), "clock below 75 % of 2000 MHz"),
        (Reading(1400.0, REASONS["power cap"]), "clock below 75 % of 2000 MHz"),
        (Reading(1990.0, REASONS["hardware slowdown"]), "hardware slowdown"),
        (Reading(1990.0, REASONS["power brake"]), "power brake"),
        (Reading(1990.0, REASONS["thermal slowdown (software)"]), "thermal slowdown (software)"),
        (CAPPED, ""),
        (Reading(1990.0, REASONS["applications clocks"]), ""),
        (Reading(), ""),
    ],
)
def test_which_readings_discard_a_sample(reading: Reading, why: str) -> None:
    assert throttled(reading, 2000.0) == why


def test_a_power_cap_is_recorded_but_normal() -> None:
    result, _ = measure([2.0], FakeMonitor(CAPPED))
    assert result.stop_reason == "converged"
    assert result.sm_clock_mhz == 1600.0
    assert all(reading.names() == ["power cap"] for reading in result.readings)


def test_an_idle_device_is_kept_busy_until_its_clock_has_risen() -> None:
    result, calls = measure([1.0], FakeMonitor(*[Reading(345.0)] * 7, Reading(1980.0)))
    assert result.discarded == []
    assert calls == 8 + len(result.samples)


def test_a_device_that_never_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_RISE_SECONDS", 0.01)
    with pytest.raises(timing.ThrottledError) as caught:
        measure([1.0], FakeMonitor(Reading(900.0)))
    for text in ("20 of 20 samples", "at 900 to 900 MHz", "clock below 75 % of 2000 MHz", "cool down"):
        assert text in str(caught.value)


def test_a_device_that_slows_down_later() -> None:
    well = [Reading(1980.0)] * 16
    result, _ = measure([1.0, 3.0], FakeMonitor(*well, HOT))
    assert result.stop_reason == "throttled"
    assert len(result.samples) == 14
    assert len(result.discarded) == 20


def test_the_clock_of_a_row_is_the_median() -> None:
    clocks = [Reading(float(mhz)) for mhz in (1980, 1980, 1980, 1950, 1900, 1980, 1980)]
    result, _ = measure([1.0, 3.0], FakeMonitor(*clocks), max_samples=5, min_samples=5)
    assert [reading.sm_clock_mhz for reading in result.readings] == [1980, 1950, 1900, 1900, 1980]
    assert result.sm_clock_mhz == 1950


def test_warm_up_lasts() -> None:
    started = time.perf_counter()
    measure([1.0], warmup_seconds=0.2, max_seconds=0.0)
    assert time.perf_counter() - started > 0.2


def test_a_quick_look_runs_the_work_a_few_times() -> None:
    calls = 0

    def work() -> None:
        nonlocal calls
        calls += 1
        time.sleep(0.002)

    milliseconds = timing.quick_median(timing.cold_clock(torch.device("cpu")), work)
    assert calls == 1 + timing._FEW_SAMPLES
    assert 2.0 <= milliseconds < 20.0


def test_wall_clock() -> None:
    clock = timing.WallClock(torch.device("cpu"))
    assert clock.sample(lambda: time.sleep(0.02)) == pytest.approx(20, rel=0.5)


BUSY = load.MOST_CORES + 0.1


def test_samples_beside_other_load_are_taken_again_once_it_is_quiet() -> None:
    """Busy while sampled and once after, then quiet, and quiet while sampled again."""
    monitor = FakeMonitor(others=[BUSY, BUSY, 0.0, 0.1])
    result, _ = measure([2.0] * 11 + [1.0] * 11, monitor)  # each time one to warm up
    assert (result.stop_reason, result.others) == ("converged", 0.1)
    assert result.samples == [1.0] * 10
    assert not monitor.others
    assert timing.conditions(result, None)["other_load_cores"] == 0.1


def test_samples_beside_load_that_stays_say_so() -> None:
    result, calls = measure([2.0], FakeMonitor(others=[BUSY]), quiet_seconds=0.0)
    assert (result.stop_reason, result.others) == ("other_load", BUSY)
    assert len(result.samples) == 10
    assert calls == 11


def test_what_counts_as_other_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this process's cores all but idle, waiting for a disk, and its own seconds: here 1.6 - 0.9 in one second."""
    stat = tmp_path / "stat"
    # user, nice, system, idle, iowait, irq, softirq, steal, guest
    stat.write_text("cpu 9 9 9 9 9 9 9 9 9\ncpu0 100 0 50 700 30 0 0 5 0\ncpu1 0 0 0 0 0 0 0 0 0\nintr 1\n")
    times, processor = iter([10.0, 10.05, 11.0]), iter([3.0, 3.9])
    slept: list[float] = []
    clock = SimpleNamespace(
        monotonic=lambda: next(times), process_time=lambda: next(processor), sleep=lambda s: slept.append(s)
    )
    monkeypatch.setattr(load, "time", clock)
    monkeypatch.setattr(load, "_STAT", stat)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0})
    monkeypatch.setattr("os.sysconf", lambda name: 100)
    watch = OtherLoad()
    stat.write_text("cpu 9 9 9 9 9 9 9 9 9\ncpu0 200 10 70 720 90 5 5 25 80\ncpu1 500 0 0 0 0 0 0 0 0\nintr 1\n")
    assert watch.cores() == pytest.approx(0.7)
    assert slept == [pytest.approx(0.15)]


def test_another_program_is_seen() -> None:
    """It takes a core, or its share of one where other tests run beside this one."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        watch = OtherLoad()
        time.sleep(0.5)
        seen = watch.cores()
        other.kill()
    assert seen is not None
    assert seen > load.MOST_CORES


def test_where_nothing_tells_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_STAT", tmp_path / "stat")
    assert OtherLoad().cores() is None

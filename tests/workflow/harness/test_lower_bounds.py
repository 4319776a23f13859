"""The least time of a convolution, by hand; and what becomes of a time below it."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest

from kernels.problem import ConvProblem
from tests.problems import MIXED, mixed_problems
from tests.workflow.harness.test_measure import resolved
from workflow.harness import ceilings, lower_bounds, worker
from workflow.harness.lower_bounds import LowerBound, bounds, exceeded, least_bytes

# X has 2 * 3 * 10 * 8 = 480 values, F 4 * 3 * 3 * 3 = 108, Y 2 * 4 * 8 * 6 = 384; 2 * 384 * 27 FLOPs.
PROBLEM = ConvProblem(2, 3, 10, 8, 4, 3, 3, 1)
COLD = {"timed": "run", "clock": "device", "cold_l2": True}
RATES = {"fp32_flops": 1e9, "tf32_flops": 4e9, "fp16_flops": 8e9, "copy_bytes_per_s": 1e9, "cache_bytes": 0}


@pytest.mark.parametrize(
    ("arithmetic", "tf32", "time_ms"),
    [
        ("fp32", False, 0.020736),
        ("fp32", True, 0.020736 / 4),
        ("tf32", True, 0.020736 / 4),
        ("fp16x3", False, 3 * 0.020736 / 8),
        ("fp32_transformed", False, None),
        ("fp32_transformed", True, None),
        ("fp16x3_transformed", False, None),
    ],
)
def test_arithmetic(arithmetic: str, tf32: bool, time_ms: float | None) -> None:
    found = [one for one in bounds(PROBLEM, arithmetic, tf32, COLD, True, RATES) if one.ceiling.endswith("flops")]
    assert [one.time_ms for one in found] == ([] if time_ms is None else [pytest.approx(time_ms)])


@pytest.mark.parametrize(
    ("timed", "cold", "cache", "values"),
    [
        ("run", True, 0, 480 + 108 + 384),
        ("run", True, 4 * 84, 480 + 108 + 300),
        ("run", True, 10**6, 480 + 108),
        ("run", False, 4 * 72, 900),
        ("run", False, 10**6, 0),
        ("compute", True, 10**6, (480 + 108) / 2),
    ],
)
def test_bytes(timed: str, cold: bool, cache: int, values: float) -> None:
    assert least_bytes(PROBLEM, timed, cold, cache) == 4 * values


def test_what_no_window_covers_need_not_be_read() -> None:
    problem = ConvProblem(1, 1, 9, 9, 1, 1, 2, 4)  # rows 0, 4, 8; columns 0, 1, 4, 5
    assert (problem.out_height, problem.out_width) == (3, 2)
    assert least_bytes(problem, "run", True, 10**6) == 4 * (3 * 4 + 2)


def test_padding_and_what_dilation_steps_over_need_not_be_read() -> None:
    # Windows of rows (-1, 1), (1, 3) and (3, 5) of six: rows 1, 3 and 5. All columns, in the windows of some output.
    problem = ConvProblem(1, 2, 6, 4, 6, 2, 3, stride=(2, 1), padding=((1, 0), (1, 1)), dilation=(2, 1), groups=2)
    assert problem.output_shape == (1, 6, 3, 4)
    assert least_bytes(problem, "run", True, 10**6) == 4 * (2 * 3 * 4 + 6 * 1 * 2 * 3)
    # Of rows 5 taps are inside, of columns 2 + 3 + 3 + 2; each for six channels out, of one channel in.
    found = bounds(problem, "fp32", False, COLD, True, RATES | {"copy_bytes_per_s": 0})
    assert [one.amount for one in found] == [2 * 6 * 5 * 10]


@pytest.mark.parametrize("problem", MIXED + mixed_problems(20, seed=7), ids=str)
def test_what_is_covered(problem: ConvProblem) -> None:
    for axis in (problem.rows, problem.columns):
        places = [
            output * axis.stride + tap * axis.dilation - axis.before
            for output in range(axis.outputs)
            for tap in range(axis.kernel)
        ]
        assert lower_bounds._covered(axis) == len({place for place in places if 0 <= place < axis.size})


def test_bounds_of_long_signals_take_no_time() -> None:
    """It is asked once for each protocol of a point."""
    problem = ConvProblem(1, 1, 1, 200_000, 1, 1, 301, padding=((0, 0), (150, 150)))
    started = time.process_time()
    assert bounds(problem, "fp32", False, COLD, True, RATES)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("on_gpu", "clock", "values"), [(True, "device", 588), (True, "wall", 0), (False, "device", 0)]
)
def test_only_the_devices_clock_finds_cold_caches(on_gpu: bool, clock: str, values: int) -> None:
    rates = RATES | {"cache_bytes": 10**6}
    found = bounds(PROBLEM, "fp32_transformed", False, COLD | {"clock": clock}, on_gpu, rates)
    assert [one.amount for one in found] == [4 * values]


def test_the_furthest_bound_counts_beyond_the_tolerance() -> None:
    memory, arithmetic = LowerBound("copy_bytes_per_s", 1000, 1e6), LowerBound("fp32_flops", 3000, 1e6)
    assert exceeded([memory, arithmetic], 0.9, 0.0) == arithmetic
    assert exceeded([memory], 0.9, 0.0) == memory
    assert exceeded([memory], 0.9, 0.1) == memory
    assert exceeded([memory], 0.91, 0.1) is None
    assert exceeded([], 0.0, 0.1) is None


def test_ceilings_that_were_not_measured_bound_nothing() -> None:
    assert bounds(PROBLEM, "fp32", False, COLD, True, {}) == []


@pytest.fixture
def impossible(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """A point, and ceilings that no machine is below; nobody waits for a quieter moment."""
    monkeypatch.setattr(lower_bounds, "_APART_SECONDS", 0.0)
    return resolved(), {"fp32_flops": 1e3, "copy_bytes_per_s": 1e3, "cache_bytes": 0}


def test_a_time_below_the_bound_is_not_published(
    impossible: tuple[dict[str, Any], dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(ceilings, "measure", lambda device, kernels, only: {only: 1e3})
    document = worker.measure(impossible[0], None, None, impossible[1])
    assert document["status"] == "failed"
    for text in (
        "over the ceiling: end_to_end",
        "below the lower bound of",
        "measured FP32 rate",
        "times what this",
    ):
        assert text in document["reason"]
    assert document["run"]["over_ceiling"]["ceiling"] == "fp32_flops"
    assert document["samples"] == {}
    assert all(row["time_ms"] is None for row in document["rows"])
    *said, last = capsys.readouterr().out.splitlines()
    assert len(said) == lower_bounds._TRIES
    assert all("measured again" in line for line in said)
    assert json.loads(last)["samples"]["end_to_end"]


@pytest.mark.parametrize("busy_for", [0, 2])
def test_a_ceiling_of_a_busy_moment_accuses_nobody(
    busy_for: int, impossible: tuple[dict[str, Any], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = itertools.chain([1e3] * busy_for, itertools.repeat(1e18))
    monkeypatch.setattr(ceilings, "measure", lambda device, kernels, only: {only: next(rates)})
    ceilings_then = {**impossible[1], "copy_bytes_per_s": 1e18}
    assert worker.measure(impossible[0], None, None, ceilings_then)["status"] == "ok"

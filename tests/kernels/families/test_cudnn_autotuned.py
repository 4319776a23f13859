"""PyTorch's autotuner is asked until its choice is good, and asks the interface of cuDNN that it is meant to ask."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from kernels.families import cudnn_autotuned
from kernels.families.cudnn_autotuned import LegacyAutotunedPlan, search_until_good
from kernels.problem import ConvProblem


def asked(times: Iterator[float]) -> list[float]:
    """What was answered before it was enough."""
    answers: list[float] = []

    def ask() -> float:
        answers.append(next(times))
        return answers[-1]

    search_until_good(ask)
    return answers


def test_a_steady_choice_is_taken_after_a_few() -> None:
    assert asked(itertools.repeat(2.0)) == [2.0] * cudnn_autotuned._MIN_TRIES


def test_a_bad_choice_is_not_the_last_one() -> None:
    assert asked(iter([3.0, 2.0, 3.0, 2.0, 3.0, 3.0, 2.01, 1.0])) == [3.0, 2.0, 3.0, 2.0, 3.0, 3.0, 2.01]


def test_it_ends() -> None:
    worse_and_worse = (1.1**i for i in itertools.count())
    assert len(asked(worse_and_worse)) == cudnn_autotuned._MAX_TRIES


def plan(monkeypatch: pytest.MonkeyPatch, says: str | None) -> tuple[LegacyAutotunedPlan, list[dict[str, Any]]]:
    """A plan, and the arguments of each convolution, which is said to be asked for as `says` in the first one."""
    calls: list[dict[str, Any]] = []

    def convolution(x: torch.Tensor, f: torch.Tensor, **arguments: Any) -> None:
        calls.append(arguments | {name: os.environ.get(name) for name in (cudnn_autotuned._OLDER,)})
        if says and len(calls) == 1:
            warnings.warn(f"TORCH_CUDNN_V8_DEBUG ON, V8 ON: {says} TORCH_CUDNN_USE_HEURISTIC_MODE B: 0", stacklevel=1)

    monkeypatch.setattr(torch, "cudnn_convolution", convolution)
    problem = ConvProblem(1, 2, 6, 5, 4, 3, 3, stride=(2, 1), padding=(1, 2), dilation=(2, 1), groups=2)
    return LegacyAutotunedPlan(problem, torch.device("cpu"), tf32=False), calls


def run(one: LegacyAutotunedPlan) -> None:
    one.run(torch.empty(0), torch.empty(0), torch.empty(0))


def test_only_the_first_convolution_sees_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    one, calls = plan(monkeypatch, "0")
    run(one)
    run(one)
    assert [call[cudnn_autotuned._OLDER] for call in calls] == ["1", None]
    sizes = {name: calls[1][name] for name in ("stride", "padding", "dilation", "groups")}
    assert sizes == {"stride": [2, 1], "padding": [1, 2], "dilation": [2, 1], "groups": 2}


@pytest.mark.parametrize("says", ["1", None])
def test_another_interface_is_no_result(monkeypatch: pytest.MonkeyPatch, says: str | None) -> None:
    """Whether PyTorch says that it asked the newer one, or had a convolution before and says nothing."""
    one, _ = plan(monkeypatch, says)
    with pytest.raises(RuntimeError, match="older interface"):
        run(one)
    assert cudnn_autotuned._OLDER not in os.environ


@pytest.mark.parametrize(("times", "chosen"), [((2.0, 1.0), True), ((1.0, 2.0), False), ((1.0, 1.0), False)])
def test_the_faster_of_two_searches_is_kept(
    monkeypatch: pytest.MonkeyPatch, times: tuple[float, float], chosen: bool
) -> None:
    one, calls = plan(monkeypatch, "0")
    run(one)
    left = iter(times)
    one.autotune(torch.empty(0), torch.empty(0), torch.empty(0), lambda work: next(left))
    run(one)
    assert calls[-1]["deterministic"] is chosen

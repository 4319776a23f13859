"""The baseline in channels last: what it gives cuDNN, when it converts, and that its choice is made anew each time."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from kernels.baselines.cudnn_channels_last import ChannelsLastPlan
from kernels.families import cudnn_autotuned
from kernels.problem import ConvProblem
from tests.problems import EDGES, MIXED
from tests.relative import BOUND, backward_error
from workflow.harness import verify
from workflow.harness.guards import Guards

CPU = torch.device("cpu")
Calls = list[tuple[tuple[torch.Tensor, ...], dict[str, Any]]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Each call of cuDNN, which PyTorch's CPU convolution stands for: its tensors and its other arguments."""
    made: Calls = []

    def convolution(x: torch.Tensor, f: torch.Tensor, *, out: torch.Tensor, **arguments: Any) -> None:
        made.append(((x, f, out), arguments))
        sizes = {name: arguments[name] for name in ("stride", "padding", "dilation", "groups")}
        out.copy_(functional.conv2d(x, f, **sizes))

    monkeypatch.setattr(torch, "cudnn_convolution", convolution)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark_limit", 10, raising=False)
    monkeypatch.setitem(os.environ, "TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT", "")
    return made


def tensors(problem: ConvProblem) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    y = torch.empty(problem.output_shape)
    verify.poison(y)
    return torch.rand(problem.input_shape), torch.rand(problem.filter_shape) - 0.5, y


@pytest.mark.parametrize("problem", EDGES + MIXED, ids=str)
def test_it_is_the_convolution_on_nhwc(problem: ConvProblem, calls: Calls) -> None:
    x, f, y = tensors(problem)
    plan = ChannelsLastPlan(problem, CPU, tf32=False)
    for _ in range(2):  # a second time: the border of zeros is still there
        x.uniform_()
        verify.poison(y)
        plan.run(x, f, y)
        assert backward_error(x, f, y, problem) <= BOUND
    given, arguments = calls[-1]
    assert all(one.is_contiguous(memory_format=torch.channels_last) for one in given)
    assert arguments["benchmark"]


@pytest.mark.parametrize("tf32", [False, True])
def test_the_class_of_arithmetic_is_passed_on(tf32: bool, calls: Calls) -> None:
    problem = ConvProblem(2, 3, 9, 8, 5, 3, 3)
    ChannelsLastPlan(problem, CPU, tf32).run(*tensors(problem))
    assert [arguments["allow_tf32"] for _, arguments in calls] == [tf32]


@pytest.mark.parametrize("problem", [MIXED[0], MIXED[4]], ids=str)
def test_what_is_converted_when(problem: ConvProblem, calls: Calls) -> None:
    """`compute` reads X and F as last prepared, and writes Y in NCHW."""
    x, f, y = tensors(problem)
    plan = ChannelsLastPlan(problem, CPU, tf32=False)
    plan.prepare(x, f)
    assert calls == []
    plan.compute(torch.full_like(x, torch.nan), torch.full_like(f, torch.nan), y)
    assert backward_error(x, f, y, problem) <= BOUND


def test_its_tensors_are_guarded(calls: Calls) -> None:
    """They are allocated as the guards expect it."""
    guards = Guards()
    with guards.around("the workspace", CPU):
        plan = ChannelsLastPlan(MIXED[4], CPU, tf32=False)
    for tensor in (plan._x, plan._f, plan._y):
        tensor.as_strided((1,), (1,), tensor.storage_offset() + tensor.numel()).zero_()
    assert guards.damaged() == ["after the workspace"] * 3


def test_a_search_forgets_the_last_choice(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is timed is the convolution and the conversion of Y; another convolution comes before each search."""
    problem = ConvProblem(2, 3, 9, 8, 5, 3, 3)
    plan = ChannelsLastPlan(problem, CPU, tf32=False)
    monkeypatch.setattr(cudnn_autotuned, "forget", lambda device: calls.append(((), {"forgotten": device})))
    monkeypatch.setattr(plan, "prepare", lambda x, f: calls.append(((), {"prepared": True})))

    def time(work: Callable[[], None]) -> float:
        calls.append(((), {"timed": True}))
        work()
        return 1.0

    plan.autotune(*tensors(problem), time)
    said = [next((word for word in ("forgotten", "prepared", "timed") if word in told), "") for _, told in calls]
    assert said == ["forgotten", "prepared", "", "timed", ""] * 5

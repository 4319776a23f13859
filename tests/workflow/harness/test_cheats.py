"""Every way to be fast and wrong that we know of is caught by a check that says so by name; an honest kernel passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from kernels import algorithm as algorithms
from kernels.plan import Plan
from kernels.problem import ConvProblem
from tests.workflow.harness.test_measure import rogue_point
from workflow.harness import checks, worker
from workflow.harness.checks import Checks, IncorrectError
from workflow.harness.guards import BAND, Guards
from workflow.harness.timing import Clock

#: What a kernel may do to seem fast -> algorithms of tests/workflow/harness/rogues.py, and the check that catches each.
CHEATS: dict[str, dict[str, str]] = {
    "leaves the output unwritten": {"unwritten": "unwritten"},
    "returns the previous answer": {
        "previous_answer": "accuracy",
        "previous_answer_while_timed": "unwritten",
        "keeps_answer_of_same_inputs": "accuracy",
        "only_if_poisoned": "timed work",
    },
    "computes in half precision": {"half_precision": "accuracy"},
    "does the work on another stream": {"another_stream": "late work"},
    "skips a tile at the edge": {"skips_edge": "unwritten"},
    "writes out of bounds": {
        "out_of_bounds": "guard bands",
        "out_of_workspace": "guard bands",
        "changes_input": "inputs",
    },
    "reads the filter only once": {"filter_once": "accuracy"},
    "special-cases the benchmark's input values": {
        "only_benchmark_inputs": "accuracy",
        "worse_on_benchmark_inputs": "accuracy",
    },
}
PROTOCOLS = {
    "end_to_end": {"timed": "run", "clock": "device", "statistic": "median", "cold_l2": True},
    "kernel_only": {"timed": "compute", "clock": "device", "statistic": "median", "cold_l2": True},
    "authors": {"timed": "compute", "clock": "wall", "statistic": "authors", "cold_l2": False},
}


def outcome(how: str, *protocols: str) -> dict[str, Any]:
    """What comes of a rogue under these protocols, in this process."""
    point = rogue_point(how)
    sampling = {key: value for key, value in point["protocols"][0].items() if key not in PROTOCOLS["authors"]}
    point["protocols"] = [sampling | {"name": name} | PROTOCOLS[name] for name in protocols]
    return worker.measure(point, None, None)


def test_all_eight() -> None:
    assert len(CHEATS) == 8


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("how", "check"), [pair for cheats in CHEATS.values() for pair in cheats.items()], ids=lambda name: name
)
def test_caught(how: str, check: str, protocol: str) -> None:
    if how == "only_if_poisoned" and protocol != "authors":
        # There every timed run finds its output poisoned, so that it does all of its work and is an honest kernel.
        assert outcome(how, protocol)["status"] == "ok"
        return
    if how == "keeps_answer_of_same_inputs" and protocol == "authors":
        # As in the artifact, this protocol times one input again and again. No point is measured under it alone.
        document = outcome(how, "authors", "kernel_only")
        assert document["reason"].startswith("accuracy: ")
        return
    document = outcome(how, protocol)
    assert document["status"] == "incorrect"
    assert document["reason"].startswith(f"{check}: "), document["reason"]
    assert all(row["time_ms"] is None for row in document["rows"])


def test_a_plan_is_autotuned_before_it_is_checked_and_timed() -> None:
    document = outcome("honest_once_autotuned", *PROTOCOLS)
    assert document["status"] == "ok", document["reason"]


@pytest.mark.parametrize("how", ["honest", "unwritten", "raises"])
def test_the_plan_is_closed_once_whatever_the_outcome(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Plan] = []
    monkeypatch.setattr(Plan, "close", lambda plan: closed.append(plan))
    outcome(how, *PROTOCOLS)
    assert len(closed) == 1


def test_an_honest_kernel_passes() -> None:
    document = outcome("honest", *PROTOCOLS)
    assert document["status"] == "ok", document["reason"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
@pytest.mark.parametrize("shape", [(3, 5), (7,), ()])
def test_guarded_tensors(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    guards = Guards()
    tensor = guards.empty("Y", shape, dtype, "cpu").fill_(1)
    assert (tensor.shape, tensor.dtype, tensor.is_contiguous()) == (torch.Size(shape), dtype, True)
    assert guards.bytes == 2 * BAND
    assert guards.damaged() == []
    one = tensor.as_strided((1,), (1,), tensor.storage_offset() + tensor.numel())
    one.fill_(7)
    assert guards.damaged() == ["after Y"]
    tensor.as_strided((1,), (1,), tensor.storage_offset() - 1).fill_(7)
    assert guards.damaged() == ["before Y", "after Y"]


def test_what_is_read_out_of_bounds_is_no_number() -> None:
    tensor = Guards().empty("X", (4,), torch.float32, "cpu")
    assert math.isnan(float(tensor.as_strided((1,), (1,), tensor.storage_offset() + 4)))


def test_allocations_within_a_context_are_guarded() -> None:
    guards = Guards()
    with guards.around("the workspace", torch.device("cpu")):
        tensors = [torch.empty(3, 4), torch.empty((3, 4), dtype=torch.uint8), torch.zeros(5), torch.empty([2])]
    torch.empty(9)
    assert guards.bytes == 2 * BAND * len(tensors)
    assert [tuple(tensor.shape) for tensor in tensors] == [(3, 4), (3, 4), (5,), (2,)]
    assert [tensor.dtype for tensor in tensors] == [torch.float32, torch.uint8, torch.float32, torch.float32]
    assert tensors[2].tolist() == [0.0] * 5
    with guards.around("the workspace", torch.device("meta")):
        torch.empty(9)  # the clock's own, say: no workspace of a plan on another device
    assert guards.bytes == 2 * BAND * len(tensors)


def test_an_empty_workspace_needs_no_guard() -> None:
    guards = Guards()
    assert guards.empty("the workspace", (0,), torch.uint8, "cpu").numel() == 0
    assert guards.damaged() == []


class Scripted(Clock):
    """The first `slow_poisoned` runs with their output poisoned take long, and the first `slow` of the others."""

    def __init__(self, y: torch.Tensor, slow_poisoned: int, slow: int) -> None:
        self.taken = {True: 0, False: 0}
        self._y, self._slow = y, {True: slow_poisoned, False: slow}

    def sample(self, work: Callable[[], None]) -> float:
        poisoned = bool(self._y.isnan().any())
        work()
        self.taken[poisoned] += 1
        return 1.7 if self.taken[poisoned] <= self._slow[poisoned] else 0.4


@pytest.mark.parametrize(
    ("slow_poisoned", "slow", "tries"),
    [
        pytest.param(0, 0, 1, id="quiet"),
        pytest.param(3, 0, 4, id="delayed at times"),
        pytest.param(100, 100, 6, id="load that came and stayed"),
        pytest.param(100, 0, None, id="a cheat"),
        pytest.param(100, 2, None, id="a cheat on a busy host"),
    ],
)
def test_a_busy_host_makes_no_honest_run_a_cheat(
    slow_poisoned: int, slow: int, tries: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_APART_SECONDS", 0)
    problem = ConvProblem(1, 2, 6, 7, 3, 3, 3, 1)
    plan = algorithms.load("cpu_torch", "kernels.families.cpu").plan(problem, torch.device("cpu"), None, tf32=False)
    shapes = (problem.input_shape, problem.filter_shape, problem.output_shape)
    tensors = (torch.rand(shapes[0]), torch.rand(shapes[1]), torch.empty(shapes[2]))
    checked = Checks(plan, problem, (1e-5, 1e-4), Guards(), torch.Generator(), tensors)
    clock = Scripted(tensors[2], slow_poisoned, slow)
    if tries is None:
        with pytest.raises(IncorrectError, match="timed work: .* took 1.7 ms or more, 20 times; others at most 0.4 ms"):
            checked.repeated_run(clock, lambda: plan.run(*tensors), [0.39, 0.38])
    else:
        checked.repeated_run(clock, lambda: plan.run(*tensors), [0.39, 0.38])
        assert clock.taken[True] == tries

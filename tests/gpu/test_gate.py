"""A stream is held up until the host is ready, and what the host does meanwhile is no part of a time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch

from workflow.harness import gate
from workflow.harness.gate import Gate, WaitedError
from workflow.harness.timing import DeviceClock


@pytest.fixture
def add() -> Callable[[], None]:
    """Work that has run before."""
    numbers = torch.zeros(2**20, device="cuda")

    def work() -> None:
        numbers.add_(1.0)

    work()
    torch.cuda.synchronize()
    return work


def test_nothing_begins_before_the_gate_opens(add: Callable[[], None]) -> None:
    closed = Gate()
    for _ in range(3):
        end = torch.cuda.Event()
        with closed.closed():
            add()
            end.record()
            time.sleep(0.02)
            assert not end.query()
        torch.cuda.synchronize()
        assert end.query()


@pytest.mark.parametrize("cold_l2", [True, False])
def test_a_host_that_is_slow_takes_no_part_in_a_time(add: Callable[[], None], cold_l2: bool) -> None:
    """A microsecond or two of work, between whose launches the host does something else now and then."""
    clock, runs = DeviceClock(torch.device("cuda", 0), cold_l2), 0

    def work() -> None:
        nonlocal runs
        runs += 1
        add()
        if runs % 3 == 0:
            time.sleep(0.02)
        add()

    assert max(clock.sample(work) for _ in range(12)) < 1.0


def test_the_gate_opens_when_something_fails(add: Callable[[], None]) -> None:
    with pytest.raises(ZeroDivisionError), Gate().closed():
        add()
        raise ZeroDivisionError
    torch.cuda.synchronize()


def test_work_that_waits_for_its_stream(add: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_PATIENCE_SECONDS", 0.2)
    with pytest.raises(WaitedError, match="waits on the host"), Gate().closed():
        add()
        torch.cuda.synchronize()
    torch.cuda.synchronize()

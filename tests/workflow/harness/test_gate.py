"""What a driver says that cannot hold up a stream; tests/gpu/test_gate.py has the rest."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from workflow.harness import gate


def test_a_driver_that_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_driver", lambda: SimpleNamespace(cuStreamWaitValue32_v2=lambda *_: 801))
    with pytest.raises(gate.GateError, match="CUDA error 801"):
        gate._wait_until_at_least(0, 0, 1)

"""The table of the transforms' own times: what it counts, and that a wrong transform has no time."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
import torch

from analysis.table import companions
from analysis.table.files import csv_text
from kernels import algorithm as algorithms
from kernels import plan
from kernels.problem import ConvProblem
from tests.shared import known_conf
from workflow import transforms
from workflow.experiment.sweep import Selection, Sweep
from workflow.harness.monitor import CpuMonitor

CPU = torch.device("cpu")


class Unwatched(CpuMonitor):
    def watch(self) -> None:
        """Other tests may run beside this one."""


class Plan(plan.Plan):
    """Copies X in `prepare`; `compute` convolves the copy, or what was there before if `lost`."""

    lost = False

    def __init__(self, problem: ConvProblem) -> None:
        self._problem = problem

    def prepare(self, x: torch.Tensor, f: torch.Tensor) -> None:
        self._copy = torch.zeros_like(x) if self.lost else x.clone()

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        y.copy_(torch.nn.functional.conv2d(self._copy, f, stride=self._problem.stride))


class Algorithm(algorithms.Algorithm):
    def plan(self, problem: ConvProblem, device: torch.device, kernels: Any, tf32: bool) -> Plan:
        if problem.kernel_h == 11:
            raise plan.UnsupportedError("too large a filter, by far")
        return Plan(problem)


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.setattr(algorithms, "load", lambda name, module, parameters: Algorithm(name))
    chosen = {"batch": ["1"], "layer": ["conv1", "conv12"], "algorithm": ["im2win", "direct"]}
    return Sweep(known_conf(), Selection("paper", chosen))


def test_rows(sweep: Sweep) -> None:
    declined, timed = transforms.measure(sweep, CPU, None, Unwatched())
    assert (declined.layer, declined.status, declined.reason) == ("conv1", "unsupported", "too large a filter, by far")
    assert (timed.layer, timed.status, timed.batch, timed.algorithm) == ("conv12", "ok", 1, "im2win")
    # 512 channels of 7 x 7, 5 rows of 7 x 3 in the window tensor, and the filter read and written.
    assert timed.window_bytes == 4 * 512 * 5 * 7 * 3
    assert timed.moved_bytes == timed.window_bytes + 4 * (512 * 7 * 7 + 2 * 512 * 512 * 3 * 3)
    assert timed.time_ms is not None
    assert timed.time_ms_low is not None
    assert timed.time_ms_high is not None
    assert 0 < timed.time_ms_low <= timed.time_ms <= timed.time_ms_high
    read = list(csv.DictReader(io.StringIO(csv_text(transforms.Row, [declined, timed]))))
    assert list(read[0]) == list(companions.TRANSFORM_COLUMNS)
    assert read[0]["time_ms"] == ""
    assert float(read[1]["time_ms"]) == timed.time_ms


def test_a_wrong_transform_has_no_time(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plan, "lost", True)
    with pytest.raises(transforms.TransformError, match="im2win on .* has errors"):
        list(transforms.measure(sweep, CPU, None, Unwatched()))

"""Whole networks: rows for backends and modes, errors against float64, layer by layer; here on the CPU."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

import kernels
from analysis.table.companions import MODEL_COLUMNS
from tests.shared import known_conf
from workflow import model
from workflow.harness import timing
from workflow.harness.monitor import CpuMonitor
from workflow.networks import forward, timed
from workflow.networks.backends import BACKENDS
from workflow.networks.vocoder import Generator

MODEL = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 6, 3, stride=2)
        self.norm, self.head = nn.BatchNorm2d(width), nn.Linear(6, 5)

    def forward(self, x):
        if x.shape[0] == 13:
            raise RuntimeError("no batch of 13")
        y = self.second(self.norm(self.first(x)).relu())
        return {"classes": self.head(y.mean((2, 3))), "features": y}
"""


@pytest.fixture
def small(tmp_path: Path) -> str:
    (tmp_path / "small.py").write_text(MODEL)
    return f"{tmp_path / 'small.py'}:Small"


def test_the_table(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "models.csv"
    words = [small, "--input", "3,12,10", "--arguments", "width=8", "--batch", "2", "13", "--output", str(output)]
    assert model.main([*words, "--backend", "pytorch", "im2win"]) == 0
    with output.open() as file:
        rows = {(row["batch"], row["mode"], row["backend"]): row for row in csv.DictReader(file)}
    assert len(rows) == 4
    for backend in ("pytorch", "im2win"):
        row = rows["2", "eager", backend]
        assert row["status"] == "ok", row["reason"]
        assert float(row["time_ms_low"]) <= float(row["time_ms"]) <= float(row["time_ms_high"])
        assert 0 < float(row["error_fro"]) < 1e-6
        assert (rows["13", "eager", backend]["status"], rows["13", "eager", backend]["time_ms"]) == ("failed", "")
        assert "no batch of 13" in rows["13", "eager", backend]["reason"]
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4
    assert all(len(text) < 200 for text in said)
    assert "1.00x, error" in said[0]
    assert model.main([small, "--input", "3,12,10", "--batch", "2", "--backend", "im2win", "--mode", "graph"]) == 0
    assert capsys.readouterr().out.endswith("unsupported: CUDA graphs need an NVIDIA GPU\n")


PASSES = [(13, "eager"), (2, "eager")]
SAMPLED = known_conf().get("protocol", "end_to_end") | {"min_samples": 3, "max_samples": 3, "warmup_seconds": 0.0}


def told(small: str, log: Path, passes: list[tuple[int, str]] = PASSES) -> list[dict[str, Any]]:
    return list(model.in_a_process([small, "--input", "3,12,10"], "pytorch", passes, SAMPLED, log))


def test_one_that_dies_is_a_row_and_the_others_are_measured(small: str, tmp_path: Path) -> None:
    """By a process that is started again; what the first one said is in the log."""
    said = told(small, tmp_path / "log.txt")
    rows = [one["row"] for one in said if "row" in one]
    assert [(row["batch"], row["status"]) for row in rows] == [(13, "failed"), (2, "ok")]
    assert "no batch of 13" in rows[0]["reason"]
    assert rows[1]["samples"] == 3
    assert [one["environment"]["device"]["kind"] for one in said if "environment" in one] == ["cpu"] * 2
    assert "no batch of 13" in (tmp_path / "log.txt").read_text()


def test_one_that_hangs_is_killed_and_what_it_told_is_kept(
    small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = MODEL.replace('raise RuntimeError("no batch of 13")', "__import__('time').sleep(1000)")
    (tmp_path / "small.py").write_text(hanging)
    monkeypatch.setattr(model, "LIMIT_SECONDS", 20)
    passes = [(2, "eager"), (13, "eager"), (13, "compile")]
    rows = [one["row"] for one in told(small, tmp_path / "log.txt", passes) if "row" in one]
    assert [(row["batch"], row["mode"]) for row in rows] == passes
    assert [row["status"] for row in rows] == ["ok", "failed", "failed"]
    assert {row["reason"] for row in rows[1:]} == {"no result within 20 s"}


def test_a_process_that_is_killed_is_told_by_its_signal(
    small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    (row,) = [one["row"] for one in told(small, tmp_path / "log.txt", [(2, "eager")])]
    assert (row["status"], row["reason"]) == ("failed", "the measuring process was killed by SIGKILL")


def test_without_torchvision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("torchvision"):
        pytest.skip("it is here")
    job = {"backend": "pytorch", "passes": [[2, "eager"], [2, "graph"]], "protocol": SAMPLED}
    assert model.main(["torchvision.models:resnet18", "--input", "3,9,9", "--one", json.dumps(job)]) == 0
    rows = [json.loads(line.partition(": ")[2])["row"] for line in capsys.readouterr().out.splitlines()]
    assert [row["mode"] for row in rows] == ["eager", "graph"]
    assert {(row["status"], row["reason"]) for row in rows} == {("unsupported", "torchvision is not installed")}


def timer(monkeypatch: pytest.MonkeyPatch, takes_ms: float) -> timed.Timer:
    """On the CPU, with a clock by which everything takes so long."""
    monkeypatch.setattr(timing.WallClock, "sample", lambda self, work: takes_ms)
    monkeypatch.setattr(forward, "set_up", lambda backend: None)
    return timed.Timer("net", "pytorch", torch.device("cpu"), SAMPLED | {"quiet_seconds": 0.0}, CpuMonitor())


def test_rows_come_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    network = torch.nn.Conv2d(3, 4, 3)
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[0]))
    passes = [(1, "eager"), (10, "eager"), (1, "graph")]
    with torch.no_grad():
        rows = list(timer(monkeypatch, 2.5).rows(network, lambda batch: [torch.ones(batch, 3, 5, 5)], passes))
    assert [(row.batch, row.mode, row.status) for row in rows] == [
        (1, "eager", "ok"),
        (1, "graph", "unsupported"),
        (10, "eager", "ok"),
    ]
    assert {(row.time_ms, row.time_ms_low, row.samples) for row in rows if row.status == "ok"} == {(2.5, 2.5, 3)}
    assert seen[:2] == [1, timed.COMPARED]  # in float64, before all else
    assert all(row.error_fro is not None and row.error_fro < 1e-6 for row in rows if row.status == "ok")


def test_what_does_not_fit_or_is_not_finite_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    class Greedy(torch.nn.Conv2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            if input.dtype == torch.float32 and input.shape[0] == 2:
                raise torch.OutOfMemoryError("tried to allocate 1 TiB")
            return super().forward(input) / (0.0 if input.shape[0] == 3 else 1.0)

    passes = [(1, "eager"), (2, "eager"), (3, "eager"), (4, "eager")]
    with torch.no_grad():
        rows = list(timer(monkeypatch, 1.0).rows(Greedy(3, 4, 3), lambda n: [torch.ones(n, 3, 5, 5)], passes))
    assert [row.status for row in rows] == ["ok", "out_of_memory", "incorrect", "ok"]
    assert "1 TiB" in rows[1].reason
    assert "not finite" in rows[2].reason and rows[2].time_ms is None


def test_the_columns_are_those_of_the_table() -> None:
    assert [*(field.name for field in fields(timed.Row)), "source_hash"] == list(MODEL_COLUMNS)


def test_a_vocoder_is_as_long_as_its_rates_say() -> None:
    small = Generator(mels=5, channels=16, rates=(4, 2), kernels=(3, 5), dilations=(1, 3))
    assert small(torch.randn(2, 5, 7)).shape == (2, 1, 7 * 8)


def test_layer_by_layer(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert model.main([small, "--input", "3,12,10", "--batch", "2", "--layers"]) == 0
    _, first, second, summary, *_ = capsys.readouterr().out.splitlines()
    assert first.split()[:2] == ["first", "2x3x12x10"]
    assert second.split()[:2] == ["second", "2x4x12x10"]
    assert "of 2 are faster by im2win at batch 2" in summary


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.py:Small", "--input", "3,8,8"], "there is no file nowhere.py"),
        (["torch.nn:Conv2d", "--input", "3,8,8"], "give what it takes by --arguments"),
        (["torch.nn:ReLU", "--input", "3,8,8:floaty"], "floaty is no type of PyTorch"),
        (["torch.nn:ReLU", "--input", "3,8,8", "--batch", "0"], "--batch 0: it must be a positive whole number"),
    ],
)
def test_mistakes(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert model.main([*words, "--backend", "pytorch"]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1


def test_the_error_is_the_networks_own() -> None:
    class Wrong(torch.nn.Conv2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            exact = super().forward(input)
            return exact if input.dtype == torch.float64 else exact * 1.001

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), Wrong(4, 5, 3))
    with torch.no_grad():
        found = forward.error(network, [torch.randn(2, 3, 9, 9)], BACKENDS["pytorch"])
    assert found == pytest.approx(1e-3, rel=1e-3)


def test_backends_set_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    switches = (torch.backends.cudnn, "allow_tf32"), (torch.backends.cuda.matmul, "allow_tf32")
    for owner, name in (*switches, (torch.backends.cudnn, "benchmark")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    for name, backend in BACKENDS.items():
        forward.set_up(backend)
        assert {getattr(owner, switch) for owner, switch in switches} == {"tf32" in name}
        plain = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU()).eval()
        network, (x,) = forward.prepare(plain, backend, [torch.randn(1, 3, 5, 5)])
        assert x.is_contiguous(memory_format=torch.channels_last) == ("channels_last" in name)
        kinds = {type(module) for module in network.modules()}
        assert (kernels.Conv2d in kinds) == ("im2win" in name)
        assert (torch.nn.BatchNorm2d not in kinds) == backend.folded == ("fold" in name or "fused" in name)
    assert ("TORCH_CUDNN_V8_API_DISABLED" in BACKENDS["pytorch_legacy"].environment) is True


def test_help_says_what_there_is() -> None:
    command = [sys.executable, "-m", "workflow.model", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "pytorch_tf32_channels_last" in said
    assert "--one" not in said

"""Whole networks: rows for backends and modes, errors against float64, layer by layer; here on the CPU."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from workflow import model
from workflow.networks import forward
from workflow.networks.backends import BACKENDS

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
        network, (x,) = forward.prepare(torch.nn.Conv2d(3, 4, 3), backend, [torch.randn(1, 3, 5, 5)])
        assert x.is_contiguous(memory_format=torch.channels_last) == ("channels_last" in name)
        assert (type(network) is not torch.nn.Conv2d) == ("im2win" in name)
    assert ("TORCH_CUDNN_V8_API_DISABLED" in BACKENDS["pytorch_legacy"].environment) is True


def test_help_says_what_there_is() -> None:
    command = [sys.executable, "-m", "workflow.model", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "pytorch_tf32_channels_last" in said
    assert "--one" not in said

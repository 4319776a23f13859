"""What the machine can do: measured for real on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from workflow import aggregate
from workflow import ceilings as program
from workflow.experiment.catalog import Catalog
from workflow.experiment.errors import ResultError
from workflow.harness import ceilings
from workflow.harness.identity import ceilings_hash


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "_CPU_MATRIX_SIZES", (128, 256))
    monkeypatch.setattr(ceilings, "_CPU_COPY_BYTES", 2**22)
    monkeypatch.setattr("signal.alarm", lambda seconds: None)


@pytest.mark.usefixtures("small")
def test_on_the_cpu(tmp_path: Path) -> None:
    output = tmp_path / "cpu" / "ceilings.json"
    assert program.main(["--kind", "cpu", "--output", str(output), "--device", "cpu"]) == 0
    found = json.loads(output.read_text())
    assert found["fp32_flops"] > 1e8
    assert found["copy_bytes_per_s"] > 1e8
    assert found["context_bytes"] > 1e7
    assert found["source_hash"] == ceilings_hash()
    assert aggregate.ceilings(output) == found


@pytest.mark.usefixtures("small")
def test_only_one_of_them() -> None:
    assert list(ceilings.measure(torch.device("cpu"), None, "fp32_flops")) == ["fp32_flops"]


def test_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(program, "find_gpus", lambda: [])
    assert program.main(["--kind", "cuda", "--output", str(tmp_path / "f.json"), "--device", "nvidia-h100"]) == 1
    assert "there is no GPU nvidia-h100" in capsys.readouterr().err


@pytest.mark.parametrize(("content", "named"), [(None, "missing"), ("{", "damaged"), ("{}", "damaged")])
def test_ceilings_that_cannot_be_read(tmp_path: Path, content: str | None, named: str) -> None:
    path = tmp_path / "ceilings.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ResultError, match=f"{named}; delete it"):
        aggregate.ceilings(path)


def test_every_algorithm_says_what_computes_it(conf: Catalog) -> None:
    transformed = {name for name, entry in conf.groups["algorithm"].items() if entry["arithmetic"].endswith("formed")}
    for name in conf.names("algorithm"):
        assert (name in transformed) == any(word in name for word in ("fft", "winograd", "autotuned", "channels_last"))

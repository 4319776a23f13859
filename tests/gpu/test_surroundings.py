"""Settings of the shell that would spoil a measurement on a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.shared import known_conf
from workflow.experiment.sweep import Selection, Sweep
from workflow.machine.settings import SPOILING
from workflow.measure import measure_point

ROOT = Path(__file__).resolve().parents[2]


def point(algorithm: str, layer: str = "conv12") -> dict[str, Any]:
    chosen = {"layer": [layer], "algorithm": [algorithm], "batch": ["1"], "numerics": ["strict_fp32"]}
    sweep = Sweep(known_conf(), Selection("paper", chosen))
    (found,) = sweep.points.values()
    return sweep.resolve(found)


@pytest.mark.parametrize("name", SPOILING)
@pytest.mark.parametrize("algorithm", ["im2win_fused", "im2col_cublas"])
def test_a_point_is_measured_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, algorithm: str
) -> None:
    monkeypatch.setenv(name, "1")
    document = measure_point(point(algorithm), tmp_path / "result.json", tmp_path / "log.txt")
    assert document["status"] == "ok", document["reason"]
    assert name not in document["run"]["settings"]


@pytest.mark.parametrize("algorithm", ["cudnn_autotuned", "cudnn_autotuned_legacy", "cudnn_implicit_gemm"])
def test_work_on_several_streams_of_a_library_is_timed(tmp_path: Path, algorithm: str) -> None:
    """cuDNN's for a grouped convolution: what is queued there is no reason to wait elsewhere."""
    grouped = point(algorithm, layer="g32ic256ih28oc256kh3ph1") | {"batch": 64}
    document = measure_point(grouped, tmp_path / "result.json", tmp_path / "log.txt")
    assert document["status"] == "ok", document["reason"]


@pytest.mark.parametrize("name", ["CUDA_LAUNCH_BLOCKING", "CUDA_DEVICE_MAX_CONNECTIONS"])
def test_a_process_that_has_it_says_so_and_still_runs_the_kernel(tmp_path: Path, name: str) -> None:
    """As one does that was started under a profiler or a sanitizer: the algorithm is not accused."""
    job: dict[str, Any] = {"point": point("im2win_fused"), "kernels": None, "ceilings": None, "attempt": 1}
    job |= {"output": str(tmp_path / "result.json"), "log": "log.txt"}
    command = [sys.executable, "-m", "workflow.harness.worker"]
    environment = os.environ | {name: "1"}
    subprocess.run(command, input=json.dumps(job), text=True, cwd=ROOT, env=environment, check=True)
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["status"] == "failed"
    assert document["reason"].startswith("its results are right, but it cannot be timed: ")
    assert f"unset {name}=1" in document["reason"]

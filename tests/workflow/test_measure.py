"""A point's outcome is recorded, whatever it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from analysis.schema import COLUMNS
from workflow import catalog
from workflow.devices import Gpu
from workflow.measure import is_recorded, main, measure_point
from workflow.points import Selection, Sweep

# An algorithm that misbehaves in the way its parameter names, in a module of its own.
ROGUE = """
import os, signal, time
import torch
from torch.nn import functional
from kernels.algorithm import Algorithm, Plan, UnsupportedError, register

class RoguePlan(Plan):
    def __init__(self, problem, how):
        self.stride, self.how, self.runs, self.first = problem.stride, how, 0, None

    def compute(self, x, f, y):
        self.runs += 1
        result = functional.conv2d(x, f, stride=self.stride)
        if self.how == "raises":
            raise RuntimeError("device-side assert")
        if self.how == "dies":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.how == "hangs":
            time.sleep(60)
        if self.how == "unsupported":
            raise UnsupportedError("stride is too long")
        if self.how == "out_of_memory":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.50 GiB. GPU 0 has 1 GiB.")
        if self.how == "unwritten":
            return
        if self.how == "edge":
            y[..., :-1] = result[..., :-1]
            return
        if self.how == "half":
            result = functional.conv2d(x.bfloat16(), f.bfloat16(), stride=self.stride).float()
        if self.how == "previous_answer":
            self.first = result if self.first is None else self.first
            result = self.first
        if self.how == "filter_once":
            self.first = f.clone() if self.first is None else self.first
            result = functional.conv2d(x, self.first, stride=self.stride)
        if self.how == "wrong_later" and self.runs > 4:
            result = result + 1
        y.copy_(result)

@register("rogue")
class Rogue(Algorithm):
    def plan(self, problem, device, kernels, tf32):
        return RoguePlan(problem, self.parameters["how"])
"""


@pytest.fixture
def rogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Measure the rogue algorithm on a small layer; returns the result document."""
    (tmp_path / "rogue_kernels.py").write_text(ROGUE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr("workflow.outcome.source_hash", lambda module, programs: "0" * 16)
    # The worker hashes the module's source where the packages are, so it gets a stand-in as well.
    (tmp_path / "sitecustomize.py").write_text(
        "import kernels.sources\nkernels.sources.source_hash = lambda module, programs: '0' * 16\n"
    )

    def measure(how: str, time_limit: float = 60) -> dict[str, Any]:
        point = resolved() | {"device": {"kind": "cpu", "time_limit_seconds": time_limit}}
        point["algorithm"] = {
            "name": "rogue",
            "module": "rogue_kernels",
            "backend": "cpu",
            "programs": [],
            "numerics": ["strict_fp32"],
            "parameters": {"how": how},
        }
        return measure_point(point, tmp_path / "out" / "result.json", tmp_path / "out" / "log.txt")

    return measure


def resolved() -> dict[str, Any]:
    selection = Selection("tiny", {"layer": ["odd_window"], "algorithm": ["cpu_im2win"]})
    sweep = Sweep(catalog.read(), selection)
    (point,) = sweep.points.values()
    return sweep.resolve(point)


def test_ok(tmp_path: Path) -> None:
    document = measure_point(resolved(), tmp_path / "result.json", tmp_path / "log.txt", attempt=3)
    assert document["status"] == "ok", (tmp_path / "log.txt").read_text()
    assert document == json.loads((tmp_path / "result.json").read_text())
    assert document["attempt"] == 3
    assert [row["protocol"] for row in document["rows"]] == ["end_to_end", "kernel_only"]
    for row in document["rows"]:
        assert tuple(row) == COLUMNS
        assert row["time_ms_low"] <= row["time_ms"] <= row["time_ms_high"]
        assert len(document["samples"][row["protocol"]]) == row["samples"]
        assert row["tflops"] > 0
        assert row["error_fro"] < 1e-6
        assert row["process_peak_bytes"] > row["tensor_bytes"]
    assert document["environment"]["software"]["torch"]
    assert document["environment"]["git"].keys() == {"revision", "dirty"}


def test_another_gpu_than_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow.measure.find_gpus", lambda: [Gpu(0, "GPU-a", "NVIDIA A100", "sm_80")])
    point = resolved() | {"device": {"kind": "cuda", "time_limit_seconds": 60}}
    document = measure_point(point, tmp_path / "result.json", tmp_path / "log.txt", device="nvidia-h100")
    assert document["status"] == "failed"
    assert document["reason"] == "this was planned for nvidia-h100, but the GPU here is: NVIDIA A100"
    assert document == json.loads((tmp_path / "result.json").read_text())


def test_a_record_is_not_measured_again(tmp_path: Path) -> None:
    output, record, log = (tmp_path / name for name in ("result.json", "recorded.json", "log.txt"))
    point = resolved()
    arguments = ["--point", json.dumps(point), "--output", str(output), "--log", str(log), "--device", "cpu"]
    assert main(arguments) == 0
    first = json.loads(output.read_text())
    assert output.read_bytes() == record.read_bytes()
    output.unlink()  # as Snakemake does before it runs a job again
    main(arguments)
    assert json.loads(output.read_text()) == first
    assert is_recorded(record, point, 1)
    assert not is_recorded(record, point, 2)
    assert not is_recorded(record, point | {"batch": 3}, 1)
    for change in ({"status": "failed"}, {"rows": [row | {"source_hash": "0"} for row in first["rows"]]}):
        record.write_text(json.dumps(first | change))
        assert not is_recorded(record, point, 1)
    record.write_text("{")
    assert not is_recorded(record, point, 1)


@pytest.mark.parametrize(
    ("how", "status", "reason"),
    [
        ("raises", "failed", "RuntimeError: device-side assert"),
        ("dies", "failed", "killed by SIGSEGV"),
        ("unsupported", "unsupported", "stride is too long"),
        ("out_of_memory", "out_of_memory", "Tried to allocate 9.50 GiB"),
        ("unwritten", "incorrect", "error_fro nan"),
        ("edge", "incorrect", "error_fro nan"),
        ("half", "incorrect", "error_fro 0.0"),
        ("previous_answer", "incorrect", "error_fro"),
        ("filter_once", "incorrect", "error_fro"),
        ("wrong_later", "incorrect", "error_fro"),
    ],
)
def test_other_outcomes(rogue: Any, how: str, status: str, reason: str) -> None:
    document = rogue(how)
    assert document["status"] == status, document["reason"]
    assert reason in document["reason"]
    for row in document["rows"]:
        assert (row["status"], row["reason"]) == (document["status"], document["reason"])
        assert row["time_ms"] is row["tflops"] is row["samples"] is None
        assert row["tensor_bytes"] > 0
    assert document["samples"] == {}


def test_a_hung_point_ends_at_its_time_limit(rogue: Any) -> None:
    started = time.perf_counter()
    document = rogue("hangs", time_limit=1)
    assert document["status"] == "failed"
    assert "no result within the time limit of 1 s" in document["reason"]
    assert time.perf_counter() - started < 30


def test_the_log_holds_the_traceback(rogue: Any, tmp_path: Path) -> None:
    rogue("raises")
    assert "Traceback" in (tmp_path / "out" / "log.txt").read_text()


def test_a_killed_job_leaves_neither_result_nor_process(tmp_path: Path) -> None:
    """SIGKILL of the job ends the measuring process too, and the last result is not mistaken for a new one."""
    output = tmp_path / "result.json"
    command = [sys.executable, "-m", "workflow.measure", "--point", json.dumps(slow_point()), "--output", str(output)]
    job = subprocess.Popen([*command, "--log", str(tmp_path / "log.txt")])
    deadline = time.perf_counter() + 30
    children = Path(f"/proc/{job.pid}/task/{job.pid}/children")
    while not children.read_text().split() and time.perf_counter() < deadline:
        time.sleep(0.05)
    (child,) = children.read_text().split()
    time.sleep(1.0)
    job.send_signal(signal.SIGKILL)
    job.wait()
    while running(child) and time.perf_counter() < deadline:
        time.sleep(0.05)
    assert not running(child)
    assert not output.exists()


def running(process: str) -> bool:
    """It exists, and not only as a dead process that nobody has asked about yet."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def slow_point() -> dict[str, Any]:
    point = resolved()
    point["protocols"] = [entry | {"warmup_seconds": 60.0} for entry in point["protocols"]]
    return point

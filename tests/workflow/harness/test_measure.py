"""A point's outcome is recorded, whatever it is."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from analysis.table.files import write_json
from analysis.table.schema import COLUMNS
from tests.shared import known_conf
from workflow.experiment.sweep import Selection, Sweep
from workflow.harness import worker
from workflow.harness.outcome import empty_rows, result_document
from workflow.jobs.groups import split
from workflow.jobs.results import CEILINGS
from workflow.machine.devices import Gpu
from workflow.measure import main, measure_point
from workflow.session import stop

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def rogue(tmp_path: Path) -> Any:
    """Measure an algorithm of tests/workflow/harness/rogues.py on a small layer; returns the result document."""

    def measure(how: str, time_limit: float = 60) -> dict[str, Any]:
        point = rogue_point(how)
        point["device"] = point["device"] | {"time_limit_seconds": time_limit}
        return measure_point(point, tmp_path / "out" / "result.json", tmp_path / "out" / "log.txt")

    return measure


def rogue_point(how: str) -> dict[str, Any]:
    point = resolved()
    point["algorithm"] = point["algorithm"] | {
        "name": "rogue",
        "module": "tests.workflow.harness.rogues",
        "parameters": {"how": how},
    }
    return point


def resolved() -> dict[str, Any]:
    selection = Selection("tiny", {"layer": ["odd_window"], "algorithm": ["cpu_im2win"]})
    sweep = Sweep(known_conf(), selection)
    (point,) = sweep.points.values()
    return copy.deepcopy(sweep.resolve(point))


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


@pytest.mark.parametrize(
    ("there", "named"), [([Gpu(0, "GPU-a", "NVIDIA A100", "sm_80")], "NVIDIA A100"), ([], "no NVIDIA GPU")]
)
def test_another_gpu_than_planned_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: list[Gpu], named: str
) -> None:
    monkeypatch.setattr("workflow.measure.find_gpus", lambda: there)
    point = resolved() | {"device": {"kind": "cuda", "time_limit_seconds": 60}}
    document = measure_point(point, tmp_path / "result.json", tmp_path / "log.txt", device="nvidia-h100")
    assert document["status"] == "failed"
    assert document["reason"] == f"this was planned for nvidia-h100, but the GPU here is: {named}"
    assert document == json.loads((tmp_path / "result.json").read_text())


@pytest.mark.parametrize(
    ("how", "status", "reason"),
    [
        ("raises", "failed", "RuntimeError: device-side assert"),
        ("launch_fails", "failed", "AcceleratorError: CUDA error: unspecified launch failure"),
        ("dies", "failed", "killed by SIGSEGV"),
        ("killed_while_timed", "failed", "killed by SIGKILL"),
        ("unsupported", "unsupported", "stride is too long"),
        ("out_of_memory", "out_of_memory", "Tried to allocate 9.50 GiB"),
        ("gives_nan", "incorrect", "accuracy: error_fro nan"),
        ("wrong_later", "incorrect", "accuracy: error_fro"),
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


def test_an_earlier_result_stays_until_there_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, log = tmp_path / "result.json", tmp_path / "log.txt"
    output.write_text("as it was")
    seen: list[str] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        seen.append(output.read_text())
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("workflow.measure.subprocess.run", run)
    # What is there afterwards is still the earlier one: the process wrote nothing.
    document = measure_point(resolved(), output, log)
    assert seen == ["as it was"]
    assert document["status"] == "failed"
    assert document == json.loads(output.read_text())


def test_the_log_holds_the_traceback(rogue: Any, tmp_path: Path) -> None:
    rogue("raises")
    assert "Traceback" in (tmp_path / "out" / "log.txt").read_text()


# A job of one point, which warms up for a minute.
JOB = """
import sys
from workflow import measure
from workflow.experiment import sweep

resolve = sweep.Sweep.resolve

def slow(*arguments):
    point = resolve(*arguments)
    return point | {"protocols": [entry | {"warmup_seconds": 60.0} for entry in point["protocols"]]}

sweep.Sweep.resolve = slow
sys.exit(measure.main(sys.argv[1:]))
"""


def command(folder: Path, **axes: list[str]) -> list[str]:
    selection = Selection("tiny", {"layer": ["odd_window"], **axes})
    group, *_ = split(Sweep(known_conf(), selection).points.values(), 8)
    write_json(folder / CEILINGS, {})
    options = ["--selection", selection.to_json(), "--size", "8", "--group", group, "--folder", str(folder)]
    return [*options, "--output", str(folder / "points/tiny" / group / "job-1.json"), "--device", "cpu"]


@pytest.mark.parametrize("signalled", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_job_leaves_neither_result_nor_process(tmp_path: Path, signalled: int) -> None:
    """The measuring process ends too, and its end is not taken for a failure of the point."""
    job = subprocess.Popen([sys.executable, "-c", JOB, *command(tmp_path, algorithm=["cpu_im2win"])], cwd=ROOT)
    deadline = time.perf_counter() + 30
    children = [Path(f"/proc/{job.pid}/task/{job.pid}/children")]
    while not (found := [pid for path in children for pid in path.read_text().split()]):
        assert time.perf_counter() < deadline and job.poll() is None
        time.sleep(0.05)
        children = [*Path(f"/proc/{job.pid}/task").glob("*/children")]
    (child,) = found
    time.sleep(1.0)
    job.send_signal(signalled)
    job.wait()
    while running(child) and time.perf_counter() < deadline:
        time.sleep(0.05)
    assert not running(child)
    assert [path.name for path in tmp_path.rglob("*.json")] == [CEILINGS]


def running(process: str) -> bool:
    """It exists, and not only as a dead process that nobody has asked about yet."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Measuring that takes no time and fails for cpu_fft the first time; the list of what it was asked for."""
    asked: list[tuple[str, int]] = []

    def measure(point: dict[str, Any], output: Path, log: Path, kernels: Any, attempt: int, *others: Any) -> Any:
        name = point["algorithm"]["name"]
        asked.append((name, attempt))
        status = "failed" if (name, attempt) == ("cpu_fft", 1) else "ok"
        document = result_document(point, status, "", empty_rows(point), {}, {}, {}) | {"attempt": attempt}
        write_json(output, document)
        return document

    monkeypatch.setattr("workflow.measure.measure_point", measure)
    monkeypatch.setattr("signal.signal", lambda *arguments: None)
    return asked


def test_a_job_measures_what_does_not_hold(quick: list[tuple[str, int]], tmp_path: Path) -> None:
    two = ["cpu_im2win", "cpu_fft"]
    assert main([*command(tmp_path, algorithm=two), "--at-once", "2"]) == 0
    assert sorted(quick) == [("cpu_fft", 1), ("cpu_im2win", 1)]
    quick.clear()
    assert main(command(tmp_path, algorithm=two)) == 0
    assert quick == [("cpu_fft", 2)]
    # Other points of the same layer have their own job; what was measured in another's holds there too.
    quick.clear()
    assert main(command(tmp_path, algorithm=[*two, "cpu_torch"])) == 0
    assert quick == [("cpu_torch", 1)]


def test_a_group_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = command(tmp_path)
    assert main([*arguments, "--group", "nothing"]) == 1
    assert "nothing begins no job of this run" in capsys.readouterr().err


def test_without_the_ceilings_nothing_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = command(tmp_path)
    (tmp_path / CEILINGS).unlink()
    assert main(arguments) == 1
    assert "ceilings.json is missing; run snakemake, which measures it first" in capsys.readouterr().err


def test_a_stop_lets_no_other_measurement_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def measure(point: dict[str, Any], output: Path, *others: Any) -> Any:
        asked.append(point["algorithm"]["name"])
        run: dict[str, Any] = {"log": "log.txt"} | ({"over_ceiling": {}} if len(asked) == 2 else {})
        document = result_document(point, "failed", "too fast", empty_rows(point), {}, {}, run)
        write_json(output, document)
        return document

    monkeypatch.setattr("workflow.measure.measure_point", measure)
    monkeypatch.setattr("signal.signal", lambda *arguments: None)
    arguments = command(tmp_path)
    assert main(arguments) == 1
    assert asked == ["cpu_direct", "cpu_im2col"]
    said = f"tiny/strict_fp32/batch2/odd_window/cpu_im2col: too fast\nlog: {tmp_path}/log.txt"
    assert stop.reason(tmp_path) == said
    assert f"error: the run was stopped, because no honest number can be this good: {said}" in capsys.readouterr().err
    assert not list(tmp_path.rglob("job-*.json"))
    main(arguments)
    assert len(asked) == 2
    stop.clear(str(tmp_path.parent))
    main(arguments)
    assert len(asked) == 7


def test_threads_do_not_follow_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what Snakemake sets for its cores: one point, one number of threads, which is recorded."""
    found = []
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        document = measure_point(resolved(), tmp_path / "result.json", tmp_path / "log.txt")
        found.append(document["run"]["threads"])
        assert document["run"]["settings"]["OMP_NUM_THREADS"] == threads
    assert found == [len(os.sched_getaffinity(0))] * 2
    point = resolved()
    point["device"] = point["device"] | {"threads": 1}
    assert measure_point(point, tmp_path / "result.json", tmp_path / "log.txt")["run"]["threads"] == 1


def test_right_results_that_cannot_be_timed_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "a stream cannot be blocked here: is a profiler or a sanitizer (ncu, compute-sanitizer) attached?"
    monkeypatch.setattr("workflow.harness.surroundings.why_untimed", lambda device: why)
    document = worker.measure(resolved(), None, None)
    assert document["status"] == "failed"
    assert document["reason"] == f"its results are right, but it cannot be timed: {why}"
    wrong = worker.measure(rogue_point("unwritten"), None, None)
    assert wrong["status"] == "incorrect"

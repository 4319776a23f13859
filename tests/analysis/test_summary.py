"""What is printed at the end of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis import summary
from analysis.prose.claims import explained
from analysis.table import archive as table
from analysis.table.schema import OTHER_LOAD
from analysis.table.sizes import flops, tensor_bytes
from tests.analysis.conftest import sampled, sizes

SPEEDS = {"im2win": 8.0, "im2col_cublas": 4.0, "cudnn_gemm": 10.0, "direct": 0.05, "im2win_without_micro_kernel": 2.0}
SPEEDS |= {"im2win_without_prefetch": 6.0, "im2win_without_vectorized_load": 5.0}
KEY = {"experiment": "paper", "suite": "paper_table", "protocol": "end_to_end", "numerics": "strict_fp32", "batch": 64}
OUTCOMES = {
    ("conv1", "im2win"): ("failed", "RuntimeError: it broke"),
    ("conv2", "im2win"): ("incorrect", "error_fro 0.3 (allowed 1e-05)"),
    ("conv3", "cudnn_gemm"): ("unsupported", "CUDNN_STATUS_NOT_SUPPORTED"),
}


def write(folder: Path, kind: str = "cuda", stop_reason: str = "converged") -> Path:
    """A results table over twelve layers; the numbers are made up."""
    rows, samples, points = [], [], []
    for name, speed in SPEEDS.items():
        for index in range(1, 13):
            layer = f"conv{index}"
            key = {**KEY, "layer": layer, "algorithm": name}
            status, reason = OUTCOMES.get((layer, name), ("ok", ""))
            row: dict[str, Any] = (
                dict.fromkeys(table.COLUMNS) | key | {"status": status, "reason": reason, "source_hash": "0"}
            )
            row["stop_reason"] = ""
            if status == "ok":
                samples += sampled(row, [flops(sizes(layer)) * row["batch"] / (speed * 1e9)])
                row |= {"tensor_bytes": tensor_bytes(sizes(layer), row["batch"]), "stop_reason": stop_reason}
            rows.append(row)
            run = {"log": f"points/{layer}/{name}/log.txt"}
            point = {column: key[column] for column in table.POINT_KEY}
            points.append({**point, "environment": 0, "status": status, "run": run, "config": {"layer": sizes(layer)}})
    device = {"name": "A device", "slug": folder.name, "kind": kind}
    table.write(folder, rows, samples, {"device": device, "environments": [{}], "points": points})
    claims_csv = explained(table.read(folder)).to_csv(index=False)
    (folder / "claims.csv").write_text(claims_csv)
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write(tmp_path / "a-gpu")
    write(tmp_path / "archive" / "another")
    return tmp_path


def run(results: Path, *names: str) -> int:
    return summary.main(["--results", str(results), *(f"{name}={results / name}" for name in names)])


def test_a_run_and_an_archive(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(results, "a-gpu", "archive/another") == 0
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert "A device: TFLOPS, suite paper_table, batch 64, end_to_end, strict_fp32" in lines
    assert next(line for line in lines if line.startswith("conv10")).split() == [
        "conv10",
        "4.00",
        "10.0",
        "8.00",
        "0.0500",
    ]
    assert "failed" in next(line for line in lines if line.startswith("conv1 "))
    assert "unsup." in next(line for line in lines if line.startswith("conv3"))
    assert any("not reproduced" in line and "0.800x" in line for line in lines)
    assert "points: 81 ok, 1 failed, 1 incorrect, 1 unsupported" in lines
    where = lines.index("  failed: paper_table/strict_fp32/batch64/conv1/im2win: RuntimeError: it broke")
    assert lines[where + 1] == "    log: points/conv1/im2win/log.txt"
    assert "  incorrect: paper_table/strict_fp32/batch64/conv2/im2win: error_fro 0.3 (allowed 1e-05)" in lines
    assert "  failed points are measured again by the next run" in lines
    assert f"report: {results}/a-gpu/report.html   figures: {results}/a-gpu/figures/" in lines
    assert lines[-1].startswith("A device, archived: 6 claims, ")
    assert lines[-1].endswith(f"report: {results}/archive/another/report.html")


def test_an_archive_alone_is_told_in_full(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(results, "archive/another") == 0
    assert "conv12" in capsys.readouterr().out


def test_claims_that_cannot_be_tested_take_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "cpu", kind="cpu")
    assert run(tmp_path, "cpu") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "not testable here" in line]
    assert len(lines) == 1
    assert "CPU backend" in lines[0]


def test_times_beside_other_load_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "quiet", kind="cpu")
    write(tmp_path / "busy", kind="cpu", stop_reason=OTHER_LOAD)
    assert run(tmp_path, "quiet") == 0
    assert f"stop reason {OTHER_LOAD}" not in capsys.readouterr().out
    assert run(tmp_path, "busy") == 0
    said = capsys.readouterr().out
    assert "  81 times were measured while other programs kept the CPU busy (stop reason other_load): " in said
    assert f"delete {tmp_path}/busy/points and give the command again" in said


def test_a_missing_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "a-gpu") == 1
    assert "error: " in capsys.readouterr().err

"""Collecting results: what goes into the table, and which results are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.table import archive as table
from analysis.table import statistics
from analysis.table.files import write_json
from kernels.problem import ConvProblem
from workflow import aggregate
from workflow.aggregate import collect
from workflow.experiment.catalog import Catalog
from workflow.experiment.errors import ResultError
from workflow.experiment.sweep import Selection, Sweep
from workflow.harness.outcome import empty_rows, result_document
from workflow.jobs.results import CEILINGS

SELECTION = Selection("tiny", {"layer": ["odd_window"], "algorithm": ["cpu_torch", "cpu_fft"]})
TIMES = [0.9, 1.1]


def timed(point: dict[str, Any], protocol: dict[str, Any]) -> dict[str, Any]:
    """The cells of an ok row that follow from TIMES."""
    by_authors = protocol["statistic"] == statistics.AUTHORS
    statistic = point["algorithm"]["about"]["authors_statistic"] if by_authors else protocol["statistic"]
    time = statistics.estimate(TIMES, statistic)
    cells = {"time_ms": time.value, "time_ms_low": time.low, "time_ms_high": time.high, "samples": len(TIMES)}
    flops = ConvProblem.from_layer(point["layer"], point["batch"]).flops
    return cells | {"tflops": flops / (time.value * 1e9), "stop_reason": "converged"}


def document(sweep: Sweep, name: str, status: str = "ok", device: str | None = "A processor") -> dict[str, Any]:
    point = sweep.resolve(next(point for point in sweep.points.values() if point.algorithm == name))
    rows = empty_rows(point)
    if status == "ok":
        rows = [row | timed(point, protocol) for row, protocol in zip(rows, point["protocols"], strict=True)]
    samples = {protocol["name"]: TIMES for protocol in point["protocols"]}
    environment = {"device": {"name": device}} if device else {}
    return result_document(
        point, status, "" if status == "ok" else "why", rows, samples, environment, {"log": "log.txt"}
    )


@pytest.fixture
def sweep(conf: Catalog) -> Sweep:
    return Sweep(conf, SELECTION)


@pytest.fixture
def folder(sweep: Sweep, tmp_path: Path) -> Path:
    """One result that is ok, and one of a process that died."""
    store(tmp_path / "cpu", sweep, "cpu_torch", document(sweep, "cpu_torch"))
    store(tmp_path / "cpu", sweep, "cpu_fft", document(sweep, "cpu_fft", "failed", device=None))
    write_json(tmp_path / "cpu" / CEILINGS, {"copy_bytes_per_s": 1e12, "fp32_flops": 1e13})
    return tmp_path / "cpu"


def store(folder: Path, sweep: Sweep, name: str, content: dict[str, Any]) -> None:
    point = next(point for point in sweep.points.values() if point.algorithm == name)
    write_json(folder / "points" / sweep.experiment["name"] / point.path / "result.json", content)


def test_the_three_files(sweep: Sweep, folder: Path) -> None:
    assert aggregate.main(["--selection", SELECTION.to_json(), "--folder", str(folder)]) == 0
    archive = table.read(folder)
    assert len(archive.measurements) == 4
    assert len(archive.samples()) == 4
    failed = archive.measurements[archive.measurements["algorithm"] == "cpu_fft"]
    assert set(failed["status"]) == {"failed"}
    assert set(failed["reason"]) == {"why"}
    assert failed["time_ms"].isna().all()
    assert archive.provenance["ceilings"]["fp32_flops"] == 1e13
    assert archive.provenance["device"] == {"name": "A processor", "slug": "cpu", "kind": "cpu"}
    assert [point["environment"] for point in archive.provenance["points"]] == [0, 1]
    assert archive.provenance["points"][0]["config"]["layer"]["kernel_w"] == 5


def test_only_the_chosen_protocols(conf: Catalog, folder: Path) -> None:
    narrow = Sweep(conf, Selection("tiny", {**SELECTION.axes, "protocol": ["kernel_only"]}))
    rows, samples, provenance = collect(narrow, folder)
    assert {row["protocol"] for row in rows} == {sample["protocol"] for sample in samples} == {"kernel_only"}
    assert len(provenance["points"]) == 2


def change(content: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (content | changes).items() if value is not ...}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rows": ...}, ["damaged", "lacks rows"]),
        ({"rows": []}, ["damaged", "rows"]),
        ({"environment": {"device": {"name": "Another processor"}}}, ["different devices", "Another processor"]),
    ],
)
def test_refused(sweep: Sweep, folder: Path, changes: dict[str, Any], named: list[str]) -> None:
    store(folder, sweep, "cpu_fft", change(document(sweep, "cpu_fft"), **changes))
    with pytest.raises(ResultError) as caught:
        collect(sweep, folder)
    for text in named:
        assert text in str(caught.value)


def test_a_result_of_another_configuration(sweep: Sweep, folder: Path) -> None:
    content = document(sweep, "cpu_torch")
    content["point"] = json.loads(json.dumps(content["point"]))
    content["point"]["layer"]["stride"] = 1
    store(folder, sweep, "cpu_torch", content)
    with pytest.raises(ResultError, match="another layer than conf/ says now"):
        collect(sweep, folder)


def test_a_missing_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    selection = Selection("tiny", {"layer": ["odd_window"]})
    assert aggregate.main(["--selection", selection.to_json(), "--folder", str(folder)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "cpu_direct/result.json is missing" in said

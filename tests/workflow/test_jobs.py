"""The parameters of a measuring job: when they stay as they were, nothing is measured again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.charts.style import FORMATS
from analysis.compare import FIGURES as SIDE_BY_SIDE
from analysis.figures import FIGURES as DRAWN
from workflow import catalog
from workflow.config import ROOT, plan
from workflow.jobs import COMPARED, FIGURE_LABELS, FIGURES, Jobs, MeasureJob
from workflow.results import next_attempt, read_result

CONF = catalog.read()
POINT = "tiny/strict_fp32/batch2/odd_window/cpu_torch"


def jobs(results: Path, **config: object) -> Jobs:
    return Jobs(plan({"experiment": "tiny", "results": str(results), **config}, list, known=CONF))


def store(results: Path, document: Any) -> None:
    path = results / "cpu/points/tiny" / POINT / "result.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))


def stored(job: MeasureJob, status: str = "ok", attempt: int = 1) -> dict[str, Any]:
    return {"point": json.loads(job.point), "status": status, "attempt": attempt}


@pytest.mark.parametrize(
    ("document", "attempt"),
    [
        (None, 1),
        ({"status": "ok", "attempt": 3}, 3),
        ({"status": "unsupported", "attempt": 1}, 1),
        ({"status": "out_of_memory", "attempt": 1}, 1),
        ({"status": "incorrect", "attempt": 1}, 1),
        ({"status": "failed", "attempt": 3}, 4),
        ({}, 0),
    ],
)
def test_next_attempt(document: dict[str, Any] | None, attempt: int) -> None:
    assert next_attempt(document) == attempt


def test_a_stored_result_leaves_the_parameters(tmp_path: Path) -> None:
    first = jobs(tmp_path).measure(POINT)
    store(tmp_path, stored(first))
    assert jobs(tmp_path).measure(POINT) == first


def test_a_failed_one_changes_the_attempt_alone(tmp_path: Path) -> None:
    first = jobs(tmp_path).measure(POINT)
    store(tmp_path, stored(first, "failed"))
    again = jobs(tmp_path).measure(POINT)
    assert again.attempt == 2
    assert (again.point, again.source_hash) == (first.point, first.source_hash)


def test_fewer_protocols_leave_the_point(tmp_path: Path) -> None:
    both = jobs(tmp_path).measure(POINT)
    store(tmp_path, stored(both))
    assert jobs(tmp_path, protocol="end_to_end").measure(POINT) == both


def test_one_more_protocol_is_measured_with_the_others(tmp_path: Path) -> None:
    store(tmp_path, stored(jobs(tmp_path, protocol="end_to_end").measure(POINT)))
    point = json.loads(jobs(tmp_path, protocol="kernel_only").measure(POINT).point)
    assert [protocol["name"] for protocol in point["protocols"]] == ["end_to_end", "kernel_only"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"ok"'])
def test_a_damaged_result(tmp_path: Path, text: str) -> None:
    store(tmp_path, text)
    assert read_result(tmp_path / "cpu/points/tiny" / POINT / "result.json") == {}
    assert jobs(tmp_path).measure(POINT).attempt == 0


def test_threads(tmp_path: Path) -> None:
    made = jobs(tmp_path)
    assert made.measure_threads(8) == 8
    assert made.measure_threads(None) == 1


def test_a_job_on_a_cluster_asks_for_one_gpu_by_name(tmp_path: Path) -> None:
    made = jobs(tmp_path, experiment="paper", cluster="example")
    # A number of GPUs would be summed over the points of a job.
    assert made.measure_resources == {
        "mem_mb": 8000,
        "runtime": 1,
        "slurm_partition": "gpu",
        "gpu_model": "h100",
    }
    assert made.measure_threads(4) == 4
    assert jobs(tmp_path).measure_resources["gpu"] == 0


def test_results_are_where_their_point_says(tmp_path: Path) -> None:
    made = jobs(tmp_path, layer="odd_window", algorithm="cpu_torch")
    assert made.point_results == [f"{tmp_path}/cpu/points/tiny/{POINT}/result.json"]
    assert list(made.tables) == ["cpu"]


def test_the_figures_are_those_that_are_drawn() -> None:
    names = [*DRAWN, *(f"one_column/{name}" for name, drawing in DRAWN.items() if drawing.one_column)]
    drawn = [f"figures/{name}.{suffix}" for name in names for suffix in FORMATS]
    assert sorted(FIGURES) == sorted([*drawn, "figures/captions.json"])
    assert list(FIGURE_LABELS) == list(DRAWN)
    for name in FIGURE_LABELS:
        assert (ROOT / f"workflow/report/{name}.rst").is_file()


def test_the_comparison_is_what_is_written() -> None:
    figures = [f"figures/{name}.{suffix}" for name in SIDE_BY_SIDE for suffix in FORMATS]
    tables = [f"tables/comparison.{suffix}" for suffix in ("csv", "md", "tex")]
    assert sorted(COMPARED) == sorted([*figures, "figures/captions.json", *tables])

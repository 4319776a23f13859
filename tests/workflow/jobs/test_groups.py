"""Which points one job measures, and when a group is measured again."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from analysis.table.files import write_json
from workflow.experiment.catalog import Catalog
from workflow.experiment.points import Point
from workflow.experiment.sweep import Selection, Sweep
from workflow.harness.outcome import empty_rows, result_document
from workflow.jobs.groups import Groups, last_job, points_per_job, split
from workflow.jobs.results import brief, next_attempt, read_result, stamp

ALGORITHMS = ["cpu_im2win", "cpu_torch"]


def points(layers: int, batches: int, algorithms: int) -> list[Point]:
    return [
        Point("suite", "strict_fp32", batch, f"conv{layer}", f"algorithm{algorithm}")
        for layer in range(layers)
        for batch in range(batches)
        for algorithm in range(algorithms)
    ]


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        (1, [1] * 30),
        (2, [1, 2, 2] * 6),
        (3, [2, 3] * 6),
        (5, [5] * 6),
        (9, [5] * 6),
        (10, [10] * 3),
        (12, [10] * 3),
        (29, [25, 5]),
        (99, [30]),
    ],
)
def test_what_is_compared_stays_together(size: int, sizes: list[int]) -> None:
    given = points(3, 2, 5)
    groups = split(given, size)
    assert [len(group) for group in groups.values()] == sizes
    assert [point for group in groups.values() for point in group] == given
    assert list(groups) == [group[0].path for group in groups.values()]


def test_one_host() -> None:
    assert points_per_job(1000, "cuda") == 1
    assert points_per_job(1001, "cuda") == 3
    assert points_per_job(60, "cpu") == 8
    assert points_per_job(100_000, "cuda") == 250


class Stored:
    """A folder of results, written as a job writes them."""

    def __init__(self, folder: Path, conf: Catalog, size: int = 8) -> None:
        self.folder, self.conf, self.size = folder, conf, size

    def groups(self, **axes: list[str]) -> Groups:
        chosen = {"layer": ["odd_window"], "algorithm": ALGORITHMS, **axes}
        return Groups(Sweep(self.conf, Selection("tiny", chosen)), self.folder, self.size)

    def files(self, **axes: list[str]) -> list[str]:
        """What tells that the only group is measured, below the folder of its layer."""
        groups = self.groups(**axes)
        (name,) = groups.members
        return [str(file.relative_to((self.folder / name).parent)) for file in groups.files(name)]

    def measure(self, status: str = "ok", **axes: list[str]) -> None:
        groups = self.groups(**axes)
        (name,) = groups.members
        (job,) = groups.files(name)
        listed = {}
        for point in groups.members[name]:
            file = groups.result(point)
            resolved = groups.sweep.resolve(point, (read_result(file) or {}).get("point"))
            write_json(file, result_document(resolved, status, "", empty_rows(resolved), {}, {}, {}))
            listed[point.path] = brief(read_result(file)) | {"stamp": stamp(file)}
        write_json(job, {"points": listed})

    def change(self, algorithm: str, **changes: Any) -> None:
        (file,) = self.folder.rglob(f"{algorithm}/result.json")
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.fixture
def stored(tmp_path: Path, conf: Catalog) -> Stored:
    return Stored(tmp_path, conf)


def test_what_was_measured_is_left(stored: Stored) -> None:
    assert stored.files() == ["cpu_im2win/job-1.json"]
    stored.measure()
    assert stored.files() == ["cpu_im2win/job-1.json"]
    assert stored.files(protocol=["end_to_end"]) == ["cpu_im2win/job-1.json"]


def test_what_failed_wants_another_job(stored: Stored) -> None:
    stored.measure("failed")
    assert stored.files() == ["cpu_im2win/job-2.json"]
    stored.measure("unsupported")
    assert stored.files() == ["cpu_im2win/job-2.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}"])
def test_a_damaged_result(stored: Stored, text: str) -> None:
    stored.measure()
    (file,) = stored.folder.rglob("cpu_torch/result.json")
    file.write_text(text)
    assert stored.files() == ["cpu_im2win/job-2.json"]


def test_a_result_that_is_gone(stored: Stored) -> None:
    stored.measure()
    next(stored.folder.rglob("cpu_torch/result.json")).unlink()
    assert stored.files() == ["cpu_im2win/job-2.json"]


def test_other_sources(stored: Stored, conf: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    stored.measure()
    monkeypatch.setattr("workflow.experiment.sweep.source_hash", lambda module, programs: "0" * 16)
    assert stored.files() == ["cpu_im2win/job-2.json"]


def test_one_protocol_more_is_measured_with_the_others(stored: Stored) -> None:
    stored.measure(protocol=["end_to_end"])
    assert stored.files(protocol=["kernel_only"]) == ["cpu_im2win/job-2.json"]
    stored.measure(protocol=["kernel_only"])
    (file,) = stored.folder.rglob("cpu_torch/result.json")
    assert [entry["name"] for entry in json.loads(file.read_text())["point"]["protocols"]] == [
        "end_to_end",
        "kernel_only",
    ]
    assert stored.files() == ["cpu_im2win/job-2.json"]


def test_other_groups_need_no_job_for_what_holds(stored: Stored) -> None:
    stored.measure()
    assert stored.files(algorithm=["cpu_torch"]) == ["cpu_torch/result.json"]
    assert stored.files(algorithm=["cpu_im2win"]) == ["cpu_im2win/job-1.json"]
    assert stored.files(algorithm=[*ALGORITHMS, "cpu_fft"]) == ["cpu_im2win/job-2.json"]


def test_results_that_are_newer_than_their_job_are_told(stored: Stored) -> None:
    """Those of a job that was killed before it could list them: the table must not stay as it is."""
    stored.measure()
    stored.change("cpu_torch", attempt=2)
    assert stored.files() == ["cpu_im2win/result.json", "cpu_torch/result.json"]


def test_points_that_hold_are_planned_quickly(stored: Stored, tmp_path: Path) -> None:
    batches = [str(batch) for batch in range(1, 1001)]
    stored.size = 100
    groups = stored.groups(batch=batches)
    for point in groups.sweep.points.values():
        groups.result(point).parent.mkdir(parents=True)
        groups.result(point).write_text("{}")
    for name, members in groups.members.items():
        listed = {
            point.path: {
                "status": "ok",
                "point": groups.sweep.resolve(point),
                "source_hash": groups.sweep.source_hash(point.algorithm),
                "stamp": stamp(groups.result(point)),
            }
            for point in members
        }
        write_json(tmp_path / name / "job-1.json", {"points": listed})
    started = time.process_time()
    groups = stored.groups(batch=batches)
    assert all(groups.files(name)[0].name == "job-1.json" for name in groups.members)
    # Two thousand of them; a result itself is fifty times longer to read.
    assert time.process_time() - started < 2


def test_the_last_job(tmp_path: Path) -> None:
    assert last_job(tmp_path / "none") == 0
    for name in ("job-2.json", "job-10.json", "job-10.txt", "job-x.json"):
        (tmp_path / name).touch()
    assert last_job(tmp_path) == 10


@pytest.mark.parametrize(
    ("document", "attempt"),
    [
        (None, 1),
        ({"status": "ok", "attempt": 3}, 3),
        ({"status": "unsupported", "attempt": 1}, 1),
        ({"status": "out_of_memory", "attempt": 1}, 1),
        ({"status": "incorrect", "attempt": 1}, 1),
        ({"status": "failed", "attempt": 3}, 4),
        ({}, 1),
    ],
)
def test_next_attempt(document: dict[str, Any] | None, attempt: int) -> None:
    assert next_attempt(document) == attempt

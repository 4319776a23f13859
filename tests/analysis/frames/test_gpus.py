"""The comparison of a host's GPUs by the anchors that each of them measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from analysis.frames.gpus import compare_gpus, use_of_gpus
from analysis.table.archive import Archive


def archive(*anchors: dict[str, Any]) -> Archive:
    return Archive(Path("none"), pd.DataFrame(), {"anchors": list(anchors)})


def anchor(gpu: str, layer: str, time_ms: float) -> dict[str, Any]:
    point = {"suite": "paper_table", "numerics": "strict_fp32", "batch": 64, "layer": layer, "algorithm": "im2win"}
    return {"gpu": gpu, **point, "protocol": "end_to_end", "time_ms": time_ms, "time_ms_low": 0, "time_ms_high": 9}


def test_ratios_are_those_to_the_fastest() -> None:
    one, two = "GPU-00000001-aaaa", "GPU-00000002-bbbb"
    times = [
        anchor(one, "conv1", 1.0),
        anchor(two, "conv1", 1.02),
        anchor(one, "conv2", 2.02),
        anchor(two, "conv2", 2.0),
    ]
    table = compare_gpus(archive(*times))
    assert table is not None
    assert list(table.frame[[one, two]].itertuples(index=False, name=None)) == [(1.0, 1.02), (2.02, 2.0)]
    assert "| conv1 | im2win | 1.00 (+0.00%) | 1.02 (+2.00%) |" in table.markdown
    assert "differs by 2.00% between two GPUs at most" in table.markdown
    assert "GPU-00000001 0.50%, GPU-00000002 1.00%" in table.markdown


def test_points_that_another_host_measured_are_told() -> None:
    times = [anchor(gpu, "conv1", 1.0) for gpu in ("GPU-1", "GPU-2")]
    here = {"anchors": times, "points": [{"run": {"uuid": "GPU-1"}}, {"run": {"log": "of a process that died"}}]}
    table = compare_gpus(Archive(Path("none"), pd.DataFrame(), here))
    assert table is not None
    assert table.markdown.rstrip().endswith("measured once, each on one of these GPUs.")
    elsewhere = here | {"points": [*here["points"], {"run": {"uuid": "GPU-3"}}]}
    table = compare_gpus(Archive(Path("none"), pd.DataFrame(), elsewhere))
    assert table is not None
    assert "each on one of these GPUs, but for 1 point on GPUs that are not compared here." in table.markdown


def test_an_anchor_that_one_gpu_lacks_is_left_out() -> None:
    table = compare_gpus(
        archive(anchor("GPU-1", "conv1", 1.0), anchor("GPU-2", "conv1", 1.0), anchor("GPU-1", "conv2", 1.0))
    )
    assert table is not None and len(table.frame) == 1


def test_one_gpu_is_not_compared() -> None:
    assert compare_gpus(archive()) is None
    assert compare_gpus(archive(anchor("GPU-1", "conv1", 1.0))) is None
    assert compare_gpus(Archive(Path("none"), pd.DataFrame(), {})) is None


def point(host: int, gpu: str, second: int, *seconds: float) -> dict[str, Any]:
    started = f"2026-01-01T00:{second // 60:02}:{second % 60:02}Z"
    run = {"uuid": gpu, "started": started, "seconds": dict(enumerate(seconds))}
    return {"environment": host, "run": run}


def used(*points: dict[str, Any]) -> list[dict[str, Any]]:
    provenance = {"environments": [{"host": "one"}, {"host": "two"}], "points": list(points)}
    table = use_of_gpus(Archive(Path("none"), pd.DataFrame(), provenance))
    return [] if table is None else table.frame.to_dict("records")


def test_two_gpus_at_work_all_the_time_are_twice_as_fast() -> None:
    one, two = used(
        point(0, "a", 0, 4, 6), point(0, "b", 0, 10), point(0, "b", 10, 5), point(0, "a", 10, 5), point(1, "c", 5, 3)
    )
    assert one == {"host": "one", "gpus": 2, "points": 4, "busy_s": 30, "elapsed_s": 15, "times_one_gpu": 2.0}
    assert two == {"host": "two", "gpus": 1, "points": 1, "busy_s": 3, "elapsed_s": 3, "times_one_gpu": 1.0}


def test_waiting_counts_and_a_pause_between_runs_does_not() -> None:
    first, second = used(point(0, "a", 600, 10), point(0, "a", 0, 10), point(0, "a", 20, 10))
    assert (first["points"], first["elapsed_s"]) == (2, 30)
    assert (second["points"], second["elapsed_s"]) == (1, 10)


def test_without_a_gpu_there_is_nothing_to_tell() -> None:
    assert used() == []
    assert used(point(0, "", 0, 10)) == []
    assert used({"environment": 0, "run": {"uuid": "a", "started": "2026-01-01T00:00:00Z", "seconds": {}}}) == []

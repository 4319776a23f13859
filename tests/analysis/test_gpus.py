"""The comparison of a host's GPUs by the anchors that each of them measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from analysis.gpus import compare_gpus
from analysis.table import Archive


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


def test_an_anchor_that_one_gpu_lacks_is_left_out() -> None:
    table = compare_gpus(
        archive(anchor("GPU-1", "conv1", 1.0), anchor("GPU-2", "conv1", 1.0), anchor("GPU-1", "conv2", 1.0))
    )
    assert table is not None and len(table.frame) == 1


def test_one_gpu_is_not_compared() -> None:
    assert compare_gpus(archive()) is None
    assert compare_gpus(archive(anchor("GPU-1", "conv1", 1.0))) is None
    assert compare_gpus(Archive(Path("none"), pd.DataFrame(), {})) is None

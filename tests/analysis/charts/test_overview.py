"""The overview: a mark for each side and layer, the same figure on light and dark pages, and readable in grey."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from analysis.charts import overview, style
from analysis.frames import speed
from analysis.numbers.overview import SHOWN
from analysis.numbers.overview import overview as sides_of
from analysis.table import archive as table
from analysis.table.archive import Archive
from tests.analysis.conftest import make_rows

Rows = list[dict[str, Any]]
LABELS = [
    "best cuDNN in strict FP32",
    "im2win as in the paper",
    "ours, strict FP32",
    "ours, FP32-accurate",
    "cuDNN in TF32",
]


@pytest.fixture
def whole(build: Callable[..., Path], compensated: Rows) -> Archive:
    """All sides: the FP32-accurate one twice as fast as the best cuDNN, cuDNN's TF32 1.2x, not on conv1."""
    reduced = make_rows(["cudnn_autotuned"], numerics="tf32")
    for index, row in enumerate(reduced):
        row["tflops"] = 12.0 * (1 + index / 10)
    return table.read(build([*compensated, *reduced[1:]]))


def marks(figure: Figure) -> dict[str, list[float]]:
    lines = [line for line in figure.axes[0].lines if not str(line.get_label()).startswith("_")]
    return {str(line.get_label()): list(np.asarray(line.get_xdata(), float)) for line in lines}


@pytest.mark.parametrize("dark", [False, True])
def test_each_side_has_a_mark_on_each_layer_that_it_has_a_number_on(whole: Archive, dark: bool) -> None:
    figure = overview.draw(speed.overview(whole), replace(style.FRONT, dark=dark))
    found = marks(figure)
    assert list(found) == LABELS
    assert found[LABELS[0]] == [1.0] * 12
    assert found[LABELS[1]] == pytest.approx([0.8] * 12)
    assert found[LABELS[3]] == pytest.approx([2.0] * 12)
    assert found[LABELS[4]] == pytest.approx([1.2] * 11)  # none on conv1
    assert [text.get_text() for text in figure.axes[0].texts] == ["2.0x"] * 12
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == [f"conv{index}" for index in range(1, 13)]
    light = sum(to_rgb(figure.get_facecolor())) > 1.5
    ink = sum(to_rgb(figure.axes[0].get_yticklabels()[0].get_color())) < 1.5
    assert light is ink is not dark


def test_the_caption_counts(whole: Archive) -> None:
    text = speed.overview(whole).text
    assert "ours, FP32-accurate: faster on 12 of 12 layers, 2.00x in the geometric mean" in text
    assert "cuDNN in TF32: faster on 11 of 11 layers, 1.20x" in text
    assert "No number: 1 not measured." in text


def test_a_side_that_was_not_measured_is_not_in_the_legend(build: Callable[..., Path]) -> None:
    archive = table.read(build(make_rows(["im2win", "cudnn_gemm"])))
    picture = speed.overview(archive)
    assert list(marks(overview.draw(picture))) == LABELS[:3]
    assert "Of cuDNN only cuDNN GEMM was measured." in picture.text


def test_a_new_algorithm_takes_its_side_by_role_and_class(whole: Archive) -> None:
    found = sides_of(whole)
    assert tuple(found.sides) == SHOWN
    assert found.sides["ours_accurate"].takes("im2win_tensor_core")
    assert not found.sides["ours_accurate"].takes("split_fp16_channels")  # a baseline of that class


def test_a_layer_without_a_baseline_says_why(build: Callable[..., Path]) -> None:
    rows = make_rows(["im2win", "cudnn_gemm"])
    for row in rows:
        if (row["algorithm"], row["layer"]) == ("cudnn_gemm", "conv3"):
            row |= {"status": "unsupported", "reason": "no", "samples": None, "stop_reason": ""}
            row |= dict.fromkeys(["time_ms", "time_ms_low", "time_ms_high", "tflops", "tensor_bytes"])
    figure = overview.draw(speed.overview(table.read(build(rows))))
    assert [text.get_text() for text in figure.axes[0].texts] == ["best cuDNN in strict FP32: unsupported"]


def test_sides_differ_without_colours() -> None:
    assert len({look.marker for look in overview.LOOKS.values()}) == len(overview.LOOKS) == len(SHOWN)

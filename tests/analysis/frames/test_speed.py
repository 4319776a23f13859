"""Speedups, times, the transform and batches: frames with known answers, and their artists."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from analysis import figures
from analysis.charts import heatmap, points
from analysis.frames import cost, speed
from analysis.table import archive as table
from analysis.table.archive import Archive

Rows = list[dict[str, Any]]
Make = Callable[..., dict[str, Any]]
Build = Callable[..., Path]


def data(line: Line2D) -> tuple[Any, Any]:
    return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()


def test_speedup_over_the_best_cudnn(small: Archive) -> None:
    picture = speed.speedup(small)
    frame = picture.panels[0].frame.set_index(["algorithm", "layer"])
    assert list(dict.fromkeys(frame.index.get_level_values(0))) == ["im2win", "cudnn_gemm", "cudnn_winograd"]
    assert list(frame.loc["im2win"].index) == ["conv1", "conv3", "conv10"]
    assert frame.loc[("im2win", "conv1"), ["value", "log2"]].tolist() == [2.0, 1.0]
    assert frame.loc[("im2win", "conv10"), ["value", "log2"]].tolist() == [0.5, -1.0]
    assert frame.at[("im2win", "conv3"), "status"] == "no number"  # im2win is ok there, but no cuDNN is
    assert frame.at[("cudnn_winograd", "conv1"), "status"] == "incorrect"
    assert "im2win on conv1 (up to 2.00x)" in picture.caption


def test_nothing_to_compare_with(build: Build, make_row: Make) -> None:
    rows = [make_row("im2win", "conv1"), make_row("cudnn_fft", "conv1", status="unsupported", reason="no")]
    archive = table.read(build(rows))
    picture = speed.speedup(archive)
    assert "best cuDNN has no number on any layer" in picture.note
    axes = figures.draw("speedup", picture).axes[0]
    assert axes.texts[0].get_text().startswith("Not drawn: ")
    assert cost.memory_speed(archive).note


def test_times_and_their_intervals(build: Build, make_rows: Callable[..., Rows], make_row: Make) -> None:
    rows = [row for row in make_rows(spread=0.01) if (row["layer"], row["algorithm"]) != ("conv5", "direct")]
    (time,) = [row["time_ms"] for row in rows if (row["layer"], row["algorithm"]) == ("conv1", "im2win")]
    rows.append(make_row("direct", "conv5", status="failed", reason="crashed"))
    picture = speed.times(table.read(build(rows)))
    above, below = picture.panels
    mine = above.frame[above.frame["algorithm"] == "im2win"].iloc[0]
    assert mine[["value", "low", "high"]].tolist() == pytest.approx([time, 0.99 * time, 1.01 * time])
    assert below.frame["low"].dropna().tolist() == pytest.approx([-1] * 47)
    assert below.frame["high"].dropna().tolist() == pytest.approx([1] * 47)
    assert "1 failed" in picture.caption
    figure = points.intervals(picture)
    axes, relative = figure.axes
    assert axes.get_yscale() == "log"
    assert [len(one[0].get_xdata()) for one in axes.containers] == [12, 12, 12, 11]
    assert axes.containers[2][0].get_ydata()[0] == pytest.approx(time)
    (bar,) = relative.containers[0][2]
    assert isinstance(bar, LineCollection)
    assert bar.get_segments()[0][:, 1].tolist() == pytest.approx([-1, 1])


def test_the_share_of_the_transform(build: Build, make_row: Make) -> None:
    rows = [make_row("im2win", "conv1", 2.0), make_row("im2win", "conv1", 2.5, protocol="kernel_only")]
    rows += [make_row("im2win", "conv2", 2.0), make_row("im2win", "conv2", 1.9, protocol="kernel_only")]
    crashed = {"status": "failed", "reason": "crashed"}
    rows += [make_row("im2win", "conv3", protocol=protocol, **crashed) for protocol in ("end_to_end", "kernel_only")]
    picture = speed.transform(table.read(build(rows)))
    kernel = picture.panels[0].frame.iloc[:3]
    assert kernel["value"].tolist() == pytest.approx([80, 100, float("nan")], nan_ok=True)
    assert kernel["difference"].tolist() == pytest.approx([20, -100 / 19, float("nan")], nan_ok=True)
    assert kernel["status"].tolist() == ["ok", "ok", "failed"]
    (axes,) = figures.draw("transform", picture).axes
    below, above, missing = axes.containers
    assert [bar.get_height() for bar in below] == pytest.approx([80, 100])
    assert [(bar.get_y(), bar.get_height()) for bar in above] == [pytest.approx((80, 20)), pytest.approx((100, 0))]
    assert above[0].get_hatch()
    assert len(missing) == 1
    assert [text.get_text() for text in axes.texts] == ["20 %", "-5 %", "n/a: failed"]


def test_the_transform_needs_both_protocols(archive: Archive) -> None:
    assert "both end_to_end and kernel_only" in speed.transform(archive).note


def test_batches(build: Build, make_rows: Callable[..., Rows], archive: Archive) -> None:
    assert "one batch, 64" in speed.batches(archive).note
    some = ["im2win", "direct", "cudnn_gemm"]
    rows = [row for row in make_rows(some, batch=128) if row["layer"] != "conv2"]
    picture = speed.batches(table.read(build([*make_rows(some), *rows])))
    assert len(picture.panels) == 12
    assert "mean of 11 layers" in picture.caption
    axes = points.lines(picture).axes
    lines = {line.get_label(): line for line in axes[0].lines}
    assert list(lines) == ["im2col + cuBLAS", "best cuDNN", "im2win", "direct"]
    x, y = data(lines["im2win"])
    assert (x, y) == ([64.0, 128.0], [8.0, 8.0])
    assert [tick.get_text() for tick in axes[8].get_xticklabels()] == ["64", "128"]
    assert "Not every cuDNN algorithm" not in picture.caption


def test_batches_say_where_cudnn_lacks_algorithms(build: Build, make_rows: Callable[..., Rows]) -> None:
    rows = [*make_rows(["im2win", "cudnn_gemm", "cudnn_fft"]), *make_rows(["im2win", "cudnn_gemm"], batch=128)]
    caption = speed.batches(table.read(build(rows))).caption
    assert "the best may be missing: at batch 128 cuDNN GEMM." in caption


def test_a_best_of_fewer_algorithms_is_hollow(build: Build, make_rows: Callable[..., Rows]) -> None:
    rows = [*make_rows(["im2win", "cudnn_gemm", "cudnn_fft"]), *make_rows(["im2win", "cudnn_gemm"], batch=128)]
    axes = points.lines(speed.batches(table.read(build(rows)))).axes[0]
    lines = {str(line.get_label()): line for line in axes.lines}
    whole, fewer = lines["best cuDNN"], lines["best cuDNN of fewer algorithms"]
    assert data(whole)[0] == [64.0]
    assert data(fewer)[0] == [128.0]
    assert (fewer.get_linestyle(), fewer.get_markerfacecolor()) == ("None", "white")
    assert whole.get_linestyle() == "-"


def test_tensor_cores_are_beside_the_others_under_their_own_name(build: Build, compensated: Rows) -> None:
    """Their class is another: they stand beside strict FP32, and are never part of its best."""
    archive = table.read(build(compensated))
    heat = speed.speedup(archive)
    assert [panel.title for panel in heat.panels] == [
        "suite paper_table, batch 64, end_to_end, strict_fp32",
        "fp32_accurate, over best cuDNN of strict_fp32",
    ]
    second = heat.panels[1].frame.set_index(["algorithm", "layer"])["value"]
    assert second["im2win_tensor_core", "conv1"] == pytest.approx(2.0)  # 20 over the 10 of strict FP32's best
    assert "im2win, tensor cores (compensated) on every layer (up to 2.00x)" in heat.caption
    figure = heatmap.draw(heat)
    assert [len(axes.patches) for axes in figure.axes[:2]] == [16 * 12, 12]
    for picture in (speed.times(archive), cost.memory_speed(archive), cost.roofline(archive)):
        assert "im2win_tensor_core" in set(picture.panels[0].frame["algorithm"])
        assert (
            "im2win, tensor cores (compensated) runs on tensor cores with error compensation (class fp32_accurate)."
            in picture.caption
        )

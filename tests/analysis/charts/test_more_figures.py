"""The figures that the paper lacks: their frames on small tables with known answers, and their artists."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from analysis import figures
from analysis.charts import heatmap, points, style
from analysis.frames import cost, growth, speed
from analysis.frames.captions import captions_json
from analysis.frames.common import Panel, Picture
from analysis.numbers.algorithms import BEST_CUDNN, about, described
from analysis.table import archive as table
from analysis.table import companions
from analysis.table.archive import Archive
from analysis.table.errors import ArchiveError

Rows = list[dict[str, Any]]
Make = Callable[..., dict[str, Any]]
Build = Callable[..., Path]


def data(line: Line2D) -> tuple[Any, Any]:
    return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()


@pytest.fixture
def small(build: Build, make_row: Make) -> Archive:
    """Two layers: im2win 2x and 0.5x the best cuDNN, Winograd wrong and unsupported, no cuDNN number on conv3."""
    rows = [
        make_row("im2win", "conv1", 8.0),
        make_row("cudnn_gemm", "conv1", 4.0, workspace_bytes=300 * 2**20),
        make_row("cudnn_winograd", "conv1", status="incorrect", reason="error 0.3", error_fro=float("nan")),
        make_row("im2win", "conv10", 2.0),
        make_row("cudnn_gemm", "conv10", 4.0, workspace_bytes=0),
        make_row("cudnn_winograd", "conv10", status="unsupported", reason="no"),
        make_row("im2win", "conv3", 2.0),
        make_row("cudnn_gemm", "conv3", status="failed", reason="crashed"),
    ]
    return table.read(build(rows))


@pytest.fixture
def compensated(make_rows: Callable[..., Rows], make_row: Make) -> Rows:
    """The whole table, and im2win on tensor cores twice as fast as the best cuDNN in strict FP32."""
    layers = [f"conv{index}" for index in range(1, 13)]
    accurate = [
        make_row("im2win_tensor_core", layer, 20.0 * (1 + index / 10), numerics="fp32_accurate")
        for index, layer in enumerate(layers)
    ]
    return [*make_rows(), *accurate]


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


def test_the_heatmap_prints_every_cell(small: Archive) -> None:
    axes = heatmap.draw(speed.speedup(small)).axes[0]
    assert [text.get_text() for text in axes.texts] == [
        *["2.00", "-", "0.50"],
        *["1.00", "failed", "1.00"],
        *["wrong", "-", "unsup."],
    ]
    boxes = [one for one in axes.patches if isinstance(one, Rectangle)]
    assert [bool(box.get_hatch()) for box in boxes] == [text.get_text()[0] not in "012" for text in axes.texts]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["im2win", "cuDNN GEMM", "cuDNN Winograd"]
    faster, as_fast, slower = (to_rgb(boxes[index].get_facecolor()) for index in (0, 3, 2))
    assert min(as_fast) > 0.9  # the middle is nearly white
    assert faster[2] > faster[0]  # bluish
    assert slower[0] > slower[2]  # orange


def test_nothing_to_compare_with(build: Build, make_row: Make) -> None:
    rows = [make_row("im2win", "conv1"), make_row("cudnn_fft", "conv1", status="unsupported", reason="no")]
    archive = table.read(build(rows))
    picture = speed.speedup(archive)
    assert "best cuDNN has no number on any layer" in picture.note
    axes = figures.draw("speedup", picture).axes[0]
    assert axes.texts[0].get_text().startswith("Not drawn: ")
    assert cost.memory_speed(archive).note


def test_times_and_their_intervals(build: Build, make_rows: Callable[..., Rows], make_row: Make) -> None:
    rows = [row for row in make_rows() if (row["layer"], row["algorithm"]) != ("conv5", "direct")]
    rows.append(make_row("direct", "conv5", status="failed", reason="crashed"))
    picture = speed.times(table.read(build(rows)))
    above, below = picture.panels
    mine = above.frame[above.frame["algorithm"] == "im2win"].iloc[0]
    assert mine[["value", "low", "high"]].tolist() == pytest.approx([1 / 8, 0.99 / 8, 1.01 / 8])
    assert below.frame["low"].dropna().tolist() == pytest.approx([-1] * 47)
    assert below.frame["high"].dropna().tolist() == pytest.approx([1] * 47)
    assert "1 failed" in picture.caption
    figure = points.intervals(picture)
    axes, relative = figure.axes
    assert axes.get_yscale() == "log"
    assert [len(one[0].get_xdata()) for one in axes.containers] == [12, 12, 12, 11]
    assert axes.containers[2][0].get_ydata()[0] == pytest.approx(1 / 8)
    (bar,) = relative.containers[0][2]
    assert isinstance(bar, LineCollection)
    assert bar.get_segments()[0][:, 1].tolist() == pytest.approx([-1, 1])


def test_the_share_of_the_transform(build: Build, make_row: Make) -> None:
    rows = [make_row("im2win", "conv1", 2.0), make_row("im2win", "conv1", 2.5, protocol="kernel_only")]
    rows += [make_row("im2win", "conv2", 2.0), make_row("im2win", "conv2", 1.9, protocol="kernel_only")]
    rows += [make_row("im2win", "conv3", 2.0)]
    rows += [make_row("im2win", "conv3", protocol="kernel_only", status="failed", reason="crashed")]
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


def test_memory_against_speed(small: Archive) -> None:
    frame = cost.memory_speed(small).panels[0].frame.set_index(["algorithm", "layer"])
    assert frame.loc[("cudnn_gemm", "conv1"), ["x", "y"]].tolist() == [4.0, 1.0]
    assert frame.loc[("cudnn_gemm", ""), ["x", "y"]].tolist() == pytest.approx([2.0, 1.0])  # of 4 and 1
    assert frame.loc[("im2win", ""), ["x", "y"]].tolist() == pytest.approx([1.01, 1.0])
    assert frame.at[("im2win", ""), "name"] == "im2win (2)"  # conv3 has no cuDNN
    axes = points.scatter(cost.memory_speed(small)).axes[0]
    small_ones, mean = (line for line in axes.lines[:2])
    assert data(small_ones)[0] == pytest.approx([1.01, 1.01])
    assert mean.get_label() == "im2win (2)"
    assert mean.get_markersize() > small_ones.get_markersize()


def test_accuracy_has_a_panel_for_each_class(build: Build, make_rows: Callable[..., Rows]) -> None:
    some = ["im2win", "cudnn_gemm", "cudnn_winograd", "im2win_without_prefetch", "cublas_gemm_ceiling"]
    rows = [*make_rows(some), *make_rows(["cudnn_gemm"], numerics="tf32", error_fro=3e-4)]
    picture = cost.accuracy(table.read(build(rows)))
    assert [panel.title for panel in picture.panels] == ["strict_fp32", "tf32"]
    assert set(picture.panels[0].frame["algorithm"]) == {"im2win", "cudnn_gemm"}  # Winograd is never ok
    assert set(picture.panels[1].frame["x"]) == {3e-4}
    figure = points.scatter(picture)
    assert [len(axes.lines) for axes in figure.axes] == [2, 1]
    assert len(figure.legends[0].get_texts()) == 2


def test_roofline_falls_back_to_cublas(archive: Archive) -> None:
    picture = cost.roofline(archive)
    intensity = 1e9 / (100 * 2**20)  # 1 GFLOP over the tensors
    assert picture.panels[0].frame["x"].tolist() == pytest.approx([intensity] * 48)  # the paper's four
    assert picture.panels[1].frame["y"].tolist() == pytest.approx([6.3, 6.3])
    assert "no line for its memory" in picture.caption
    labels = [line.get_label() for line in points.roofline(picture).axes[0].lines]
    assert "best cuBLAS GEMM of these shapes, 6.30 TFLOPS (conv12)" in labels


def test_roofline_with_measured_ceilings(archive: Archive) -> None:
    intensity = 1e9 / (100 * 2**20)
    archive.provenance["ceilings"] = {"copy_bytes_per_s": 3e12, "fp32_flops": 30e12}
    picture = cost.roofline(archive)
    flat, slope = "measured FP32 peak, 30.0 TFLOPS", "measured copies, 3.00 TB/s"
    (axes,) = points.roofline(picture).axes
    assert axes.get_ylim()[0] < 3 < 30 < axes.get_ylim()[1]  # the ceiling is above all points, and seen
    lines = {str(line.get_label()): line for line in axes.lines}
    assert data(lines[flat]) == (pytest.approx([10, 1.25 * intensity]), [30.0, 30.0])  # from the ridge on
    assert data(lines[slope]) == (pytest.approx([intensity / 1.25, 10]), pytest.approx([3 * intensity / 1.25, 30]))
    archive.provenance["ceilings"] = {"copy_bytes_per_s": 1e12}
    assert cost.roofline(archive).panels[1].frame["y"].tolist() == pytest.approx([intensity / 1.25, intensity * 1.25])
    del archive.provenance["ceilings"]
    archive.measurements.drop(
        archive.measurements.index[archive.measurements["algorithm"] == "cublas_gemm_ceiling"], inplace=True
    )
    picture = cost.roofline(archive)
    assert "No ceiling of this machine was measured." in picture.caption
    assert picture.panels[1].frame.empty
    assert points.roofline(picture).axes


def test_the_roofline_has_a_ceiling_for_tensor_cores(archive: Archive, build: Build, compensated: Rows) -> None:
    both = table.read(build(compensated, name="both"))
    peaks = {"copy_bytes_per_s": 3e12, "fp32_flops": 30e12, "fp16_flops": 180e12}
    for one in (both, archive):
        one.provenance["ceilings"] = peaks
    picture = cost.roofline(both)
    third = "a third of the measured FP16 peak, 60.0 TFLOPS"
    ends = picture.panels[1].frame
    assert ends.loc[ends["name"] == third, "y"].tolist() == [60.0, 60.0]
    assert "three FP16 products for one" in picture.caption
    assert "on tensor cores with error compensation" in picture.caption
    styles = {str(line.get_label()): line.get_linestyle() for line in points.roofline(picture).axes[0].lines}
    assert len({styles[name] for name in dict.fromkeys(ends["name"])}) == 3
    assert "FP16" not in cost.roofline(archive).caption  # nothing there is on tensor cores


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
        assert "of the class fp32_accurate, is on tensor cores with error compensation" in picture.caption


def write_errors(folder: Path) -> None:
    """Write an accuracy.csv of two layers and two kinds of data; one result has overflowed."""
    table_of = {
        "cudnn_implicit_precomp_gemm": ("strict_fp32", (4e-7, 2e-7), (5e-6, float("inf"))),
        "im2win_tensor_core": ("fp32_accurate", (1e-7, 5e-8), (2e-7, 3e-7)),
        "split_fp16_channels": ("fp32_accurate", (1e-3, 1e-3), (1e-3, 1e-3)),
    }
    rows = [
        dict.fromkeys(companions.ACCURACY_COLUMNS, "")
        | {"suite": "paper_table", "batch": 4, "layer": layer, "reduction": k, "distribution": kind, "status": "ok"}
        | {"algorithm": algorithm, "numerics": numerics, "error_componentwise": error}
        for algorithm, (numerics, *found) in table_of.items()
        for layer, k, pair in zip(("conv7", "conv12"), (27, 4608), found, strict=True)
        for kind, error in zip(("uniform", "huge"), pair, strict=True)
    ]
    pd.DataFrame(rows).to_csv(folder / companions.ACCURACY, index=False)


def test_the_error_grows_with_the_reduction(build: Build, make_row: Make) -> None:
    """conv7 has 3 channels and a 3 x 3 filter, conv12 has 512 and the same filter."""
    rows = [
        make_row(algorithm, layer, numerics=numerics, error_fro=error)
        for algorithm, numerics, found in (
            ("cudnn_implicit_precomp_gemm", "strict_fp32", (1e-7, 1e-6)),
            ("im2win_tensor_core", "fp32_accurate", (3e-8, 2e-7)),
            ("cudnn_implicit_precomp_gemm", "tf32", (2e-4, 3e-4)),
        )
        for layer, error in zip(("conv7", "conv12"), found, strict=True)
    ]
    folder = build([*rows, make_row("im2win", "conv7"), make_row("cudnn_fft", "conv7", error_fro=5e-8)])
    (panel,) = growth.error_growth(table.read(folder)).panels
    points_of = panel.frame.groupby("numerics", sort=False)[["x", "y"]].agg(list)
    assert points_of["x"].tolist() == [[27, 4608]] * 3
    assert points_of.loc["fp32_accurate", "y"] == [3e-8, 2e-7]
    write_errors(folder)
    picture = growth.error_growth(table.read(folder))
    norm, worst = picture.panels
    measured = worst.frame[worst.frame["kind"] == growth.MEASURED].groupby("numerics", sort=False)["y"].agg(list)
    assert measured["strict_fp32"] == [4e-7, 5e-6]  # the largest of both kinds of data that is finite
    assert measured["fp32_accurate"] == [1e-7, 3e-7]
    assert "up to 5.0e-06 in strict_fp32" in picture.caption
    assert "over 2 kinds of data" in picture.caption
    assert "Left out: 1 result that overflowed." in picture.caption
    figure = figures.draw("error_growth", picture)
    left, right = ({str(line.get_label()): line for line in axes.lines} for axes in figure.axes)
    assert list(left) == list(dict.fromkeys(norm.frame["name"]))
    lines = [line for line in right.values() if line.get_linestyle() == "--"]
    ends = [(data(line)[0][-1], data(line)[1][-1]) for line in lines]
    assert ends == [(4608, pytest.approx(4608 * 2**-24)), (4608, pytest.approx((16 + 144) * 2**-24))]
    assert len({line.get_marker() for line in left.values()}) == 3


def test_a_damaged_table_of_errors_is_a_clear_error(archive: Archive) -> None:
    assert companions.read_accuracy(archive.folder).empty
    (archive.folder / companions.ACCURACY).write_text("suite,batch\n")
    with pytest.raises(ArchiveError, match="columns must be suite, batch"):
        growth.error_growth(archive)


def test_captions_tell_what_is_drawn(archive: Archive) -> None:
    pictures = {name: drawing.prepare(archive) for name, drawing in figures.FIGURES.items()}
    found = json.loads(captions_json(pictures))
    assert list(found) == list(figures.FIGURES)
    assert [name for name, text in found.items() if text.startswith("Not drawn: ")] == ["transform", "batch"]
    assert all(text.endswith(".") for text in found.values())


def test_every_figure_fits_its_page(archive: Archive, build: Build, make_rows: Callable[..., Rows]) -> None:
    both = table.read(build([*make_rows(), *make_rows(protocol="kernel_only"), *make_rows(batch=8)], name="both"))
    both.measurements["tensor_bytes"] *= both.measurements["layer"].str[4:].astype(int)
    for name, drawing in figures.FIGURES.items():
        figure = figures.draw(name, drawing.prepare(both))
        figure.draw_without_rendering()
        boxes = [one.get_window_extent() for one in figure.legends]
        for box in boxes + [one.get_tightbbox() for one in figure.axes]:
            assert box is not None
            assert figure.bbox.x0 - 1 <= box.x0 <= box.x1 <= figure.bbox.x1 + 1, name
            assert figure.bbox.y0 - 1 <= box.y0 <= box.y1 <= figure.bbox.y1 + 1, name


def test_every_algorithm_has_a_look(archive: Archive) -> None:
    assert {*archive.measurements["algorithm"], BEST_CUDNN} <= set(described())
    assert style.look("new")[1] == "+"


def test_marks_in_one_scatter_differ_without_colours(archive: Archive) -> None:
    """Those of cuDNN and ours, with the one on tensor cores."""
    drawn = {name for name in archive.measurements["algorithm"] if about(name).is_candidate}
    drawn |= {"im2win_fused", "im2win_tensor_core"}
    marks = [style.look(name)[1] for name in sorted(drawn)]
    assert len(set(marks)) == len(marks), sorted(zip(marks, sorted(drawn), strict=True))


def test_a_legend_has_rows_of_one_length() -> None:
    figure = Figure()
    style.legend(figure, {str(index): Line2D([], []) for index in range(6)}, 5)
    figure.draw_without_rendering()
    texts = [text.get_window_extent() for text in figure.legends[0].get_texts()]
    assert [len({round(box.x0) for box in texts}), len({round(box.y0) for box in texts})] == [3, 2]


def test_panels_that_share_an_axis_show_all_of_their_points() -> None:
    """Limits that were set for the first panel would cut off what is faster in the next."""
    frames = [
        pd.DataFrame({"algorithm": ["im2win"], "name": ["im2win"], "layer": ["conv1"], "x": [1e-7], "y": [speed]})
        for speed in (10.0, 500.0)
    ]
    picture = Picture("Two classes", tuple(Panel("one", "TFLOPS", frame, x_axis="error") for frame in frames))
    figure = points.scatter(picture)
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert low < 10.0 < 500.0 < high
    plt.close(figure)

"""Memory, accuracy and the roofline: frames with known answers, and their artists."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.lines import Line2D

from analysis.charts import points
from analysis.frames import cost
from analysis.table import archive as table
from analysis.table.archive import Archive
from analysis.table.sizes import flops, tensor_bytes
from tests.analysis.conftest import LAYERS, sizes

Rows = list[dict[str, Any]]
Make = Callable[..., dict[str, Any]]
Build = Callable[..., Path]
#: FLOPs of each layer over the bytes of its tensors.
INTENSITIES = [64 * flops(sizes(layer)) / tensor_bytes(sizes(layer), 64) for layer in LAYERS]


def data(line: Line2D) -> tuple[Any, Any]:
    return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()


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
    assert sorted(picture.panels[0].frame["x"]) == pytest.approx(sorted(4 * INTENSITIES))  # the paper's four
    assert picture.panels[1].frame["y"].tolist() == pytest.approx([6.3, 6.3])
    assert "no line for its memory" in picture.caption
    labels = [line.get_label() for line in points.roofline(picture).axes[0].lines]
    assert "best cuBLAS GEMM of these shapes, 6.30 TFLOPS (conv12)" in labels


def test_roofline_with_measured_ceilings(archive: Archive) -> None:
    least, most = min(INTENSITIES) / 1.25, max(INTENSITIES) * 1.25
    archive.provenance["ceilings"] = {"copy_bytes_per_s": 1.5e12, "fp32_flops": 30e12}
    picture = cost.roofline(archive)
    flat, slope = "measured FP32 peak, 30.0 TFLOPS", "measured copies, 1.50 TB/s"
    (axes,) = points.roofline(picture).axes
    assert axes.get_ylim()[0] < 3 < 30 < axes.get_ylim()[1]  # the ceiling is above all points, and seen
    lines = {str(line.get_label()): line for line in axes.lines}
    assert data(lines[flat]) == (pytest.approx([20, most]), [30.0, 30.0])  # from the ridge on
    assert data(lines[slope]) == (pytest.approx([least, 20]), pytest.approx([1.5 * least, 30]))
    archive.provenance["ceilings"] = {"copy_bytes_per_s": 1e12}
    assert cost.roofline(archive).panels[1].frame["y"].tolist() == pytest.approx([least, most])
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

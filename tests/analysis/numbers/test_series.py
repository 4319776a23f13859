"""The shared derived quantities on small tables with known answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.numbers import algorithms, series
from analysis.table import archive as table
from analysis.table.archive import Archive
from analysis.table.sizes import tensor_bytes
from tests.analysis.conftest import sizes

Row = dict[str, Any]


def rows_of(build: Callable[..., Path], rows: list[Row]) -> pd.DataFrame:
    measurements = table.read(build(rows)).measurements
    selection = series.pick(measurements)
    assert selection is not None
    return series.with_best_cudnn(series.rows_of(measurements, selection))


def best(rows: pd.DataFrame) -> dict[str, str]:
    return rows[rows["algorithm"] == series.BEST_CUDNN].set_index("layer")["chosen"].to_dict()


def test_best_cudnn_is_the_fastest_ok_one(build: Callable[..., Path], make_row: Callable[..., Row]) -> None:
    rows = [
        make_row("cudnn_gemm", "conv1", 5.0),
        make_row("cudnn_autotuned", "conv1", 7.0, process_peak_bytes=77),
        make_row("cudnn_fft", "conv1", status="incorrect", reason="error 0.3"),
        make_row("cudnn_gemm", "conv2", 5.0),
        make_row("cudnn_autotuned", "conv2", 5.0),
        make_row("im2win", "conv2", 50.0),
    ]
    found = rows_of(build, rows)
    assert best(found) == {"conv1": "cudnn_autotuned", "conv2": "cudnn_gemm"}  # a tie: the named algorithm
    assert series.values(found, series.BEST_CUDNN, "process_peak_bytes")["conv1"] == 77  # of the same algorithm
    assert series.values(found, series.BEST_CUDNN, "tflops").to_dict() == {"conv1": 7.0, "conv2": 5.0}


def test_best_cudnn_where_none_is_ok(build: Callable[..., Path], make_row: Callable[..., Row]) -> None:
    rows = [make_row(name, "conv1", status="unsupported", reason="no") for name in ("cudnn_fft", "cudnn_gemm")]
    rows += [make_row("cudnn_fft", "conv2", status="unsupported", reason="no")]
    rows += [make_row("cudnn_gemm", "conv2", status="out_of_memory", reason="12 GiB")]
    found = rows_of(build, rows)
    assert series.state_of(found, "conv1", series.BEST_CUDNN, "tflops")[1:] == (
        "unsupported",
        "no cuDNN algorithm ran: cudnn_fft: no; cudnn_gemm: no",
    )
    assert series.state_of(found, "conv2", series.BEST_CUDNN, "tflops")[1] == "failed"
    assert series.values(found, series.BEST_CUDNN, "tflops").empty


def test_numeric_classes_are_never_mixed(build: Callable[..., Path], make_row: Callable[..., Row]) -> None:
    rows = [make_row("cudnn_gemm", "conv1", 5.0), make_row("cudnn_gemm", "conv1", 50.0, numerics="tf32")]
    measurements = table.read(build(rows)).measurements
    with pytest.raises(ValueError, match="strict_fp32, tf32"):
        series.with_best_cudnn(measurements)
    assert series.values(rows_of(build, rows), series.BEST_CUDNN, "tflops").to_dict() == {"conv1": 5.0}


def test_ratio_skips_what_is_not_ok(build: Callable[..., Path], make_row: Callable[..., Row]) -> None:
    rows = [make_row("im2win", "conv10", 6.0), make_row("im2win", "conv2", 6.0), make_row("direct", "conv2", 2.0)]
    rows += [make_row("direct", "conv10", status="failed", reason="crashed"), make_row("direct", "conv3", 2.0)]
    assert series.ratio(rows_of(build, rows), "im2win", "direct", "tflops").to_dict() == {"conv2": 3.0}


def test_memory_falls_back_as_a_whole(build: Callable[..., Path], make_row: Callable[..., Row]) -> None:
    with_peak, without = make_row("im2win", "conv1"), make_row("direct", "conv1", process_peak_bytes=None)
    rows = rows_of(build, [with_peak, without])
    assert series.memory_metric(rows) == series.PROCESS_PEAK
    assert series.state_of(rows, "conv1", "direct", "process_peak_bytes")[1] == "no number"
    rows = rows_of(build, [without])
    assert series.memory_metric(rows) == series.COUNTED
    assert series.values(rows, "direct", series.COUNTED.column)["conv1"] == tensor_bytes(sizes("conv1"), 64) + 2**20


def test_the_headline_comes_first(build: Callable[..., Path], make_row: Callable[..., Row]) -> None:
    rows = [
        make_row("im2win", "conv1", experiment="another"),
        make_row("im2win", "conv1", batch=8),
        make_row("im2win", "conv1", suite="authors_log"),
        make_row("im2win", "conv1", protocol="authors"),
        make_row("im2win", "conv1", numerics="fp32_accurate"),
        make_row("im2win", "conv1"),
        make_row("im2win_without_prefetch", "conv1", protocol="kernel_only"),
    ]
    measurements = table.read(build(rows)).measurements
    found = series.selections(measurements)
    assert len(found) == 7
    assert found[0] == series.Selection("paper", "paper_table", 64, "end_to_end", "strict_fp32")
    ablated = series.pick(measurements, having=algorithms.ablations())
    assert ablated is not None
    assert ablated.protocol == "kernel_only"
    assert series.pick(measurements, having=["cpu_fft"]) is None


def test_orders(archive: Archive) -> None:
    assert series.layer_order(["conv10", "conv2", "conv2"]) == ["conv2", "conv10"]
    assert algorithms.in_order(["zebra", "direct", "im2col_cublas"]) == ["im2col_cublas", "direct", "zebra"]
    assert set(archive.measurements["algorithm"]) <= set(algorithms.described())

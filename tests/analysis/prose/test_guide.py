"""Which algorithm to use, on small tables with known answers."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.numbers import series
from analysis.prose import guide
from analysis.prose.guide import Choice, Window
from analysis.table import archive as table
from analysis.table.archive import Archive

Rows = list[dict[str, Any]]
Build = Callable[..., Path]
MIB = 2**20


def rows_of(build: Build, rows: Rows) -> pd.DataFrame:
    measurements = table.read(build(rows)).measurements
    return series.rows_of(measurements, series.selections(measurements)[0])


def test_the_fastest_within_a_workspace(build: Build, make_row: Callable[..., dict[str, Any]]) -> None:
    rows = rows_of(
        build,
        [
            make_row("cublas_gemm_ceiling", "conv1", 100.0, workspace_bytes=0),  # no convolution
            make_row("im2win_without_prefetch", "conv1", 90.0, workspace_bytes=0),  # worse on purpose
            make_row("cudnn_fft", "conv1", 50.0, workspace_bytes=300 * MIB),
            make_row("im2win", "conv1", 40.0, workspace_bytes=64 * MIB),
            make_row("cudnn_gemm", "conv1", 45.0, workspace_bytes=None),  # not known: meets no limit
            make_row("direct", "conv1", 1.0, workspace_bytes=0),
            make_row("cudnn_winograd", "conv1", status="unsupported"),
        ],
    )
    chosen = [guide.fastest(rows, "conv1", limit) for limit in (math.inf, 256, 64, 63.9, 0)]
    assert [one.algorithm for one in chosen if one] == ["cudnn_fft", "im2win", "im2win", "direct", "direct"]
    other = guide.fastest(rows, "conv1", without="cudnn_fft")
    assert other and other.algorithm == "cudnn_gemm"
    assert guide.fastest(rows, "conv2") is None


def test_what_is_as_fast(build: Build, make_row: Callable[..., dict[str, Any]]) -> None:
    rows = rows_of(
        build,
        [make_row(name, "conv1", speed, 0.01) for name, speed in (("direct", 10.0), ("im2win", 9.9), ("cudnn_fft", 9))],
    )
    chosen = guide.fastest(rows, "conv1")  # intervals are 1 % to either side
    assert chosen is not None
    assert chosen.equals == ("im2win",)
    assert str(chosen) == "direct (1.35 ms, as fast: im2win)"


@pytest.mark.parametrize(
    ("whole", "kernel", "other", "uses"),
    [
        (3.0, 2.0, 4.0, 1),  # ahead as it is
        (3.0, 2.0, 3.0, 2),  # a tie is not ahead
        (3.0, 2.0, 2.25, 5),  # 1 / 0.25 = 4 uses tie
        (3.0, 2.0, 2.0, math.inf),
        (3.0, 2.0, 1.0, math.inf),
    ],
)
def test_the_uses_that_make_a_window_tensor_pay(whole: float, kernel: float, other: float, uses: float) -> None:
    rival = Choice("direct", other, 0, ())
    window = Window("conv1", whole, kernel, rival, rival, 1.0)
    assert window.transform == 1
    assert window.uses == uses
    assert window.ahead == (uses == 1)
    assert window.kernel_ahead == math.isfinite(uses)
    assert math.isnan(Window("conv1", whole, math.nan, rival, None, 1.0).uses)
    assert math.isnan(Window("conv1", whole, kernel, None, None, 1.0).uses)


def test_the_page_says_when_im2win_pays(build: Build, make_rows: Callable[..., Rows]) -> None:
    algorithms = ["im2win", "direct", "cudnn_gemm"]
    kernel = make_rows(algorithms, protocol="kernel_only")
    for row in kernel:
        if row["algorithm"] == "im2win":
            row |= {"time_ms": row["time_ms"] / 2, "tflops": row["tflops"] * 2}
            row |= {"time_ms_low": row["time_ms"], "time_ms_high": row["time_ms"]}
    text = guide.body(table.read(build([*make_rows(algorithms), *kernel])))
    assert "im2win is the fastest on 12 of 12 layers" in text
    assert re.search(r"ms \(conv\d+\): 50.0 \(conv\d+\) to 50.0 % \(conv\d+\) of the whole", text)
    assert "| conv1 | yes | cuDNN GEMM | 2.67x | 5.33x | 1.69 | 0.843 | 1.00 | 0.843 | 50.0 | 1 |" in text


def test_the_page_says_what_the_other_kernels_of_im2win_gain(
    build: Build, make_row: Callable[..., dict[str, Any]]
) -> None:
    """im2win is behind the fused kernel on conv1, which is behind tensor cores; on conv2 it is ahead of all in FP32."""
    rows = [
        make_row("im2win", "conv1", 8.0),
        make_row("im2win_fused", "conv1", 10.0),
        make_row("im2win", "conv2", 8.0),
        make_row("im2win_fused", "conv2", 4.0),
        make_row("im2win_tensor_core", "conv1", 15.0, numerics="fp32_accurate", workspace_bytes=3 * MIB),
        make_row("im2win_tensor_core", "conv2", 4.0, numerics="fp32_accurate", workspace_bytes=2 * MIB),
    ]
    text = guide.body(table.read(build(rows)))
    assert "On 1 of the others (conv1) im2win, fused is the fastest, with 1.00 to 1.00 MiB of workspace." in text
    assert "is faster than the fastest of these on 1 of 2 layers, 0.500x (conv2) to 1.50x (conv1)" in text
    assert "with 2.00 to 3.00 MiB of workspace" in text
    assert text.count("If tensor cores with error compensation are accepted") == 1  # not in the part of their own class


def test_a_table_without_kernel_only_and_one_of_a_cpu(archive: Archive, build: Build, cpu_rows: Rows) -> None:
    text = guide.body(archive)
    assert "im2win is the fastest on 0 of 12 layers." in text
    assert "| conv1 | no | cuDNN implicit GEMM | 0.800x | - |" in text
    assert "im2win (CPU)" in guide.body(table.read(build(cpu_rows, "cpu", "cpu")))


def test_everything_unsupported(build: Build, make_row: Callable[..., dict[str, Any]]) -> None:
    rows = [make_row(name, "conv1", status="unsupported", reason="no") for name in ("im2win", "direct")]
    text = guide.body(table.read(build(rows)))
    assert "| conv1 | - | - | - | - | - |" in text
    assert "With any workspace: none." in text
    assert "im2win was ok on no layer" in text

"""The verdicts in words, on small tables with known answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.numbers import published
from analysis.prose import claims
from analysis.table import archive as table
from analysis.table.archive import Archive

Rows = list[dict[str, Any]]
Build = Callable[..., Path]


def judge(build: Build, rows: Rows) -> pd.DataFrame:
    return claims.explained(table.read(build(rows))).set_index("claim")


def scale(rows: Rows, algorithm: str, factor: float) -> Rows:
    for row in rows:
        if row["algorithm"] == algorithm and row["status"] == "ok":
            row["tflops"] *= factor
            row["time_ms"] /= factor
            row["time_ms_low"] /= factor
            row["time_ms_high"] /= factor
    return rows


def test_markdown_names_verdicts_and_layers(archive: Archive) -> None:
    text = claims.to_markdown(claims.explained(archive))
    assert "**not reproduced**" in text
    assert "12 of 12" in text
    assert "suite paper_table, batch 64, end_to_end, strict_fp32" in text


def test_the_summary_has_every_protocol_and_says_why(build: Build, make_rows: Callable[..., Rows]) -> None:
    rows = [*make_rows(), *scale(make_rows(protocol="kernel_only"), "im2win", 1.25)]
    archive = table.read(build(rows))
    judged = claims.explained(archive)
    text = claims.summary(judged, archive)
    assert "| claim | end_to_end | kernel_only | published |" in text
    assert "**partly** 2.00x [2.000 to 2.000] | **partly** 2.50x [2.500 to 2.500] |" in text
    why = judged[judged["protocol"] == "end_to_end"].set_index("claim")["explanation"]
    assert "im2win is 0.800x as fast and is ahead on none of them" in why["speedup_cudnn"]
    assert "faster even than one cuBLAS product" in why["speedup_cudnn"]  # 10 against 3
    assert "direct convolution reaches 0.642 % on conv12, the layer of the claim" in why["speedup_direct"]
    assert "it reaches 0.625 %" in why["speedup_direct"]  # 0.05 of 8
    how = judged.set_index(["claim", "protocol"])["decomposition"]
    assert how["speedup_cublas", "end_to_end"] == (
        "By the kernel alone (kernel_only) it is 2.50x, with transform and filter reordering counted (end_to_end) "
        "2.00x, 20.0 % less."
    )
    assert how["memory_cublas", "end_to_end"] == how["ablation_micro_kernel", "end_to_end"] == ""


def test_winograd_and_fft_are_named_with_their_layers(build: Build, make_rows: Callable[..., Rows]) -> None:
    rows = make_rows(["im2win", "cudnn_gemm", "cudnn_fft"])
    rows = [row for row in rows if row["algorithm"] != "cudnn_fft" or row["layer"] in ("conv2", "conv7")]
    why = judge(build, scale(rows, "cudnn_fft", 2)).at["speedup_cudnn", "explanation"]
    assert "The best cuDNN is FFT on 2 layers (conv2 conv7), which takes fewer multiplications" in why
    assert "On the 10 layers where the best is a GEMM" in why


def test_one_images_matrix_is_claimed_only_where_the_workspace_agrees(
    build: Build, make_rows: Callable[..., Rows]
) -> None:
    rows = make_rows(["im2win", "im2col_cublas"])
    assert "holds one image's matrix" not in judge(build, rows).at["memory_cublas", "explanation"]
    sizes = published.layers()
    for row in rows:
        one = sizes.loc[row["layer"]]
        out = (one["height"] - one["kernel_h"]) // one["stride"] + 1
        matrix = one["in_channels"] * one["kernel_h"] * one["kernel_w"] * out**2 * 4
        row["workspace_bytes"] = 32 * 2**20 + int(matrix)
    said = judge(build, rows).at["memory_cublas", "explanation"]
    assert "holds one image's matrix at a time: its workspace is that matrix plus 32.0 to 32.0 MiB" in said

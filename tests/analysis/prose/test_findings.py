"""The findings, on made-up tables with known answers: six sentences at most, two numbers at most in each."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.numbers.series import decisive_layer
from analysis.numbers.verdicts import judge
from analysis.prose.findings import findings, measured
from analysis.table import archive as table
from analysis.table.archive import Archive, read

Rows = list[dict[str, Any]]
ARCHIVES = Path(__file__).parents[3] / "analysis" / "archive"


def said(folder: Path) -> str:
    archive = table.read(folder)
    return " ".join(findings(archive, judge(archive)))


@pytest.mark.parametrize("name", ["nvidia-h100-80gb-hbm3", "nvidia-h200"])
def test_findings_are_few_and_short(name: str) -> None:
    archive = read(ARCHIVES / name)
    found = findings(archive, judge(archive))
    assert 4 <= len(found) <= 6
    for sentence in found:
        text = re.sub(r"FP32|fp32|Of the paper's 6 claims, ", "", sentence)
        assert len(re.findall(r"\d[\d.]*", re.sub(r"[a-z]\d+", "", text))) <= 2, sentence
        assert sentence.count(". ") == 0 and sentence.endswith("."), sentence


def test_each_side_is_told_against_the_best_cudnn(build: Callable[..., Path], make_rows: Callable[..., Rows]) -> None:
    strict = make_rows(["im2win", "im2win_fused", "cudnn_implicit_gemm"])
    fused = make_rows(["im2win_fused"])
    for row in fused:
        row["tflops"] = 20.0 if row["layer"] in ("conv1", "conv2") else 4.0
    rows = [*(row for row in strict if row["algorithm"] != "im2win_fused"), *fused]
    text = said(build([*rows, *make_rows(["im2win_tensor_core"], numerics="fp32_accurate")]))
    assert "im2win, the paper's kernel, is 0.800x as fast as best cuDNN." in text
    assert (
        "The fastest of our kernels in strict_fp32 is 0.925x as fast as best cuDNN in strict FP32, and faster on 2"
        in text
    )
    assert "our kernels are 0.300x as fast as best cuDNN in strict FP32, and faster on no layer." in text


def test_what_was_not_measured_is_not_mentioned(build: Callable[..., Path], make_rows: Callable[..., Rows]) -> None:
    text = said(build(make_rows(["im2win", "cudnn_implicit_gemm"])))
    assert "tensor cores" not in text
    assert "our kernels" not in text
    assert "Of the paper's 6 claims, 1 is reproduced." in text


def test_a_cpu_has_no_claims(build: Callable[..., Path], cpu_rows: Rows) -> None:
    text = said(build(cpu_rows, "cpu"))
    assert "None of the paper's 6 claims is testable here (measured on the CPU backend" in text
    assert "memory" not in text


def test_the_kind_of_mean_is_said_once(archive: Archive) -> None:
    assert measured(archive).endswith("strict_fp32). Means of ratios are geometric.")


def test_a_layer_that_decides_a_mean_is_named() -> None:
    assert decisive_layer(pd.Series({"a": -1.0, "b": 2.0, "c": -90.0})) == "c"
    assert decisive_layer(pd.Series({"a": 10.0, "b": 11.0, "c": 12.0})) == ""
    assert decisive_layer(pd.Series({"a": 10.0, "b": 100.0})) == ""

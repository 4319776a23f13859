"""The sentences on our own faster convolutions, on made-up tables with known answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.numbers.verdicts import judge
from analysis.prose.findings import findings
from analysis.table import archive as table

Rows = list[dict[str, Any]]


def said(folder: Path) -> str:
    archive = table.read(folder)
    return " ".join(findings(archive, judge(archive)))


def test_other_classes_are_compared_by_name(build: Callable[..., Path], make_rows: Callable[..., Rows]) -> None:
    strict = make_rows(["im2win", "im2win_fused", "cudnn_implicit_gemm"])
    text = said(build([*strict, *make_rows(["im2win_tensor_core"], numerics="fp32_accurate")]))
    assert "im2win, fused reaches 3.00 (conv1) to" in text
    assert (
        "im2win, tensor cores (compensated), of the class fp32_accurate, reaches 3.00 (conv1) to 6.30 TFLOPS "
        "(conv12) and is faster than best cuDNN in strict_fp32 on 0 of 12 layers: 0.300x in the geometric mean" in text
    )


def test_what_was_not_measured_is_not_mentioned(build: Callable[..., Path], make_rows: Callable[..., Rows]) -> None:
    text = said(build(make_rows(["im2win", "cudnn_implicit_gemm"])))
    assert "tensor cores" not in text
    assert "fused" not in text


def test_other_batches_are_compared_too(build: Callable[..., Path], make_rows: Callable[..., Rows]) -> None:
    algorithms = ["im2win", "im2win_fused", "cudnn_implicit_gemm"]
    text = said(build([*make_rows(algorithms), *make_rows(algorithms, batch=1), *make_rows(["im2win"], batch=16)]))
    assert "It is faster than best cuDNN on 0 of 12 layers at batch 1 (" in text
    assert "batch 16" not in text  # nothing there to compare

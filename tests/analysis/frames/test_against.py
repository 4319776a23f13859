"""The table of every algorithm against the best cuDNN."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.frames import grids
from analysis.table import archive as table
from tests.analysis.conftest import CPU_ALGORITHMS, make_rows

Rows = list[dict[str, Any]]


def test_every_algorithm_at_every_batch(build: Callable[..., Path]) -> None:
    strict = make_rows(["im2win", "im2win_without_prefetch", "cudnn_implicit_gemm", "cublas_gemm_ceiling"])
    other = make_rows(["im2win", "cudnn_gemm"], batch=8)
    accurate = make_rows(["im2win_tensor_core"], numerics="fp32_accurate")
    text = grids.against_best(table.read(build([*strict, *other, *accurate]))).markdown
    assert "| algorithm | class | TFLOPS at batch 64 | batch 8 | batch 64 |" in text
    assert "| im2win | strict_fp32 | 8.00 (conv1) to 16.8 (conv12) | 2.67x, 12 of 12 | 0.800x, 0 of 12 |" in text
    assert (
        "| im2win, tensor cores (compensated) | fp32_accurate | 3.00 (conv1) to 6.30 (conv12) | - | 0.300x, 0" in text
    )
    # cuDNN's own make the best, and neither an ablation nor a ceiling is a choice.
    assert not [name for name in ("| cuDNN", "without", "ceiling") if name in text]
    assert "At batch 64 the best cuDNN is cuDNN implicit GEMM on 12 layers." in text


def test_a_cpu_is_compared_with_pytorch(build: Callable[..., Path]) -> None:
    rows = make_rows(CPU_ALGORITHMS, batch=1, experiment="cpu")
    found = grids.against_best(table.read(build(rows, "cpu")))
    assert found.title == "Every algorithm against PyTorch (CPU)"
    assert "GFLOPS at batch 1" in found.markdown
    assert "cuDNN" not in found.markdown

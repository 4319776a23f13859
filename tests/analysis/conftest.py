"""A made-up results table for the tests. Its numbers come from a formula and are nobody's measurements."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.numbers.layers import published_sizes
from analysis.table import archive as table
from analysis.table.check import statistic_of
from analysis.table.companions import MODEL_COLUMNS, MODELS, NETWORK_COLUMNS, NETWORKS
from analysis.table.sizes import SIZES, flops, tensor_bytes
from analysis.table.statistics import intervals, values

GPU_ALGORITHMS = [
    "direct",
    "im2col_cublas",
    "cudnn_implicit_gemm",
    "cudnn_implicit_precomp_gemm",
    "cudnn_gemm",
    "cudnn_fft",
    "cudnn_fft_tiling",
    "cudnn_winograd",
    "cudnn_winograd_nonfused",
    "cudnn_autotuned",
    "im2win_base",
    "im2win",
    "im2win_without_prefetch",
    "im2win_without_vectorized_load",
    "im2win_without_micro_kernel",
    "cublas_gemm_ceiling",
]
CPU_ALGORITHMS = ["cpu_direct", "cpu_im2col", "cpu_im2win", "cpu_fft", "cpu_torch"]
LAYERS = tuple(f"conv{index}" for index in range(1, 13))


#: The sizes of a layer that is none of the paper's.
ANOTHER = dict(zip(SIZES, (8, 10, 10, 16, 3, 3, 1), strict=True))
#: The layers of made-up networks, one of each kind.
NETWORK_LAYERS: dict[str, dict[str, Any]] = {
    "pointwise": ANOTHER | {"kernel_h": 1, "kernel_w": 1},
    "square": ANOTHER | {"padding": 1},
    "other": ANOTHER | {"kernel_w": 1},
    "strided": ANOTHER | {"stride": [2, 2], "padding": 1},
    "dilated": ANOTHER | {"dilation": 2, "padding": 2},
    "line": ANOTHER | {"height": 1, "kernel_h": 1},
    "grouped": ANOTHER | {"groups": 4, "padding": 1},
    "depthwise": ANOTHER | {"groups": 8, "padding": 1},
}


def sizes(layer: str) -> dict[str, Any]:
    """Give the sizes of a layer, those of the paper if it is there."""
    return published_sizes(layer) or NETWORK_LAYERS.get(layer) or ANOTHER


def network_row(algorithm: str, layer: str, time_ms: float = 1.0, suite: str = "net", **changes: Any) -> dict[str, Any]:
    """Make a row of a network's layer that takes this time (ms), within 1 %."""
    numerics = {"im2win_tensor_core": "fp32_accurate"}.get(algorithm, "strict_fp32")
    changes = {"experiment": "networks", "suite": suite, "numerics": numerics} | changes
    tflops = flops(sizes(layer)) * changes.get("batch", 64) / (time_ms * 1e9)
    return make_row(algorithm, layer, None if changes.get("status", "ok") != "ok" else tflops, 0.01, **changes)


def write_networks(folder: Path, *lines: tuple[str, str, int, int | None, str]) -> Path:
    """Write networks.csv beside a table: suite, layer, count, FLOPs (None: of its sizes), why not supported."""
    text = ",".join(NETWORK_COLUMNS) + "\n"
    for suite, layer, count, work, reason in lines:
        text += f"{suite},{layer},{count},{flops(sizes(layer)) if work is None else work},{reason},made up: {suite}\n"
    (folder / NETWORKS).write_text(text)
    return folder


def model_row(model: str, backend: str, time_ms: float | None, **changes: Any) -> dict[str, Any]:
    """Make a row of a whole network that takes this time (ms), within 2 %; without a time it has failed."""
    row: dict[str, Any] = dict.fromkeys(MODEL_COLUMNS, "")
    row |= {"model": model, "backend": backend, "batch": 64, "mode": "eager", "source_hash": f"hash-{backend}"}
    if time_ms is None:
        return row | {"status": "failed", "reason": "it crashed, here"} | changes
    row |= {"status": "ok", "time_ms": time_ms, "time_ms_low": 0.98 * time_ms, "time_ms_high": 1.02 * time_ms}
    row |= {"samples": 10, "stop_reason": "converged", "peak_bytes": 3 * 2**30, "error_fro": 1e-6}
    return row | changes


def model_rows() -> list[dict[str, Any]]:
    """Make rows of two networks: ours is 2x PyTorch's FP32 on `deep`, and slower than its older interface on `wide`."""
    times = {
        "deep": {"pytorch": 20.0, "pytorch_legacy": 25.0, "pytorch_tf32": 8.0, "im2win": 10.0},
        "wide": {"pytorch": 40.0, "pytorch_legacy": 20.0, "pytorch_tf32_channels_last": 10.0, "im2win": 25.0},
    }
    rows = [
        model_row(
            name, backend, time_ms / batch_factor, batch=batch, mode=mode, error_fro=1e-6 if name == "deep" else 3e-6
        )
        for name, backends in times.items()
        for batch, mode, batch_factor in ((1, "eager", 4.0), (1, "graph", 8.0), (64, "eager", 1.0))
        for backend, time_ms in backends.items()
    ]
    return [*rows, model_row("wide", "im2win", None, mode="compile")]


def write_models(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Write models.csv beside a table."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / MODELS).open("w", newline="") as file:
        writer = csv.DictWriter(file, MODEL_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return folder


def settle(row: dict[str, Any]) -> None:
    """Give an ok row the time, the interval of its samples and the tensor bytes that its TFLOPS and its layer imply."""
    if row["status"] != "ok" or not isinstance(row["tflops"], float):
        return
    time = flops(sizes(row["layer"])) * row["batch"] / (row["tflops"] * 1e9)
    factor = time / row["time_ms"]
    row |= {"time_ms": time, "tensor_bytes": tensor_bytes(sizes(row["layer"]), row["batch"])}
    if row["samples"]:
        row |= {f"time_ms_{end}": factor * row[f"time_ms_{end}"] for end in ("low", "high")}
        low, high = intervals(np.array(taken(row)), statistic_of(row, {}))
        row |= {"time_ms_low": float(low), "time_ms_high": float(high)}


def taken(row: dict[str, Any]) -> list[float]:
    """Give the raw samples of a row: its time and the ends of its interval, if they are three; else always its time."""
    low, time, high = (row[column] for column in ("time_ms_low", "time_ms", "time_ms_high"))
    spread = row["samples"] == 3 and low < time < high and row["protocol"] != "authors"
    return [low, time, high] if spread else [time] * (row["samples"] or 0)


def sampled(row: dict[str, Any], times: list[float]) -> list[dict[str, Any]]:
    """Give a row the times, the samples and the TFLOPS of raw samples; returns these samples."""
    statistic = statistic_of(row, {})
    low, high = intervals(np.array(times), statistic)
    row |= {
        "time_ms": float(values(np.array(times), statistic)),
        "time_ms_low": float(low),
        "time_ms_high": float(high),
    }
    row |= {"tflops": flops(sizes(row["layer"])) * row["batch"] / (row["time_ms"] * 1e9), "samples": len(times)}
    key = {column: row[column] for column in table.KEY}
    return [key | {"sample": index, "time_ms": time} for index, time in enumerate(times)]


def make_row(
    algorithm: str, layer: str, tflops: float | None = 2.0, spread: float = 0.0, **changes: Any
) -> dict[str, Any]:
    """Make one row, ok at `tflops` within `spread`; `changes` replace columns; a status clears the numbers."""
    row: dict[str, Any] = dict.fromkeys(table.COLUMNS)
    row |= {"experiment": "paper", "suite": "paper_table", "protocol": "end_to_end", "numerics": "strict_fp32"}
    row |= {"batch": 64, "layer": layer, "algorithm": algorithm, "status": changes.get("status", "ok")}
    row |= {"reason": "", "stop_reason": "", "source_hash": f"hash-{algorithm}"}
    if row["status"] == "ok" and tflops is not None:
        row |= {"time_ms": 1.0, "time_ms_low": 1 - spread, "time_ms_high": 1 + spread, "samples": 3}
        row |= {"stop_reason": "converged", "tflops": float(tflops), "workspace_bytes": 2**20}
        row |= {"allocator_peak_bytes": 110 * 2**20, "process_peak_bytes": 1000 * 2**20}
        row |= {"error_fro": 1e-7, "error_max": 1e-6, "sm_clock_mhz": 1980.0}
    row |= changes
    settle(row)
    return row


def make_rows(algorithms: list[str] | None = None, spread: float = 0.0, **changes: Any) -> list[dict[str, Any]]:
    """Make rows over the twelve layers; im2win is twice as fast as cuBLAS, cuDNN implicit GEMM is the best cuDNN."""
    speeds = {"im2win": 8.0, "im2col_cublas": 4.0, "cudnn_implicit_gemm": 10.0, "direct": 0.05}
    speeds |= {"im2win_without_prefetch": 6.0, "im2win_without_vectorized_load": 5.0}
    speeds |= {"im2win_without_micro_kernel": 2.0}
    rows = []
    for algorithm in algorithms or GPU_ALGORITHMS:
        for index, layer in enumerate(LAYERS):
            row = make_row(algorithm, layer, speeds.get(algorithm, 3.0) * (1 + index / 10), spread)
            if algorithm == "cudnn_winograd":
                row = make_row(algorithm, layer, status="unsupported", reason="CUDNN_STATUS_NOT_SUPPORTED")
            memory = {"im2win": 750, "im2col_cublas": 1000, "cudnn_implicit_gemm": 1500, "direct": 700}
            if row["status"] == "ok":
                row["process_peak_bytes"] = memory.get(algorithm, 900) * 2**20
            row |= changes
            settle(row)
            rows.append(row)
    return rows


def make_provenance(rows: list[dict[str, Any]], kind: str = "cuda") -> dict[str, Any]:
    """Make the provenance of some rows: one environment, and a point for each row's."""
    name, slug = ("Test GPU 9000", "test-gpu-9000") if kind == "cuda" else ("Test CPU", "cpu")
    points = {}
    for row in rows:
        key = tuple(row[column] for column in table.POINT_KEY)
        points[key] = dict(zip(table.POINT_KEY, key, strict=True)) | {
            "environment": 0,
            "status": row["status"],
            "config": {"layer": sizes(row["layer"])},
            "run": {"seed": 1, "harness_hash": "harness", "log": f"points/{row['layer']}/{row['algorithm']}/log.txt"},
        }
    environment = {"device": {"name": name}, "software": {"torch": "2.0", "cuda": "13.0"}, "git": {"dirty": False}}
    return {
        "device": {"name": name, "slug": slug, "kind": kind},
        "environments": [environment],
        "points": list(points.values()),
    }


def make_samples(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make the raw samples of some rows."""
    return [
        {column: row[column] for column in table.KEY} | {"sample": index, "time_ms": time}
        for row in rows
        for index, time in enumerate(taken(row))
    ]


@pytest.fixture(name="make_row")
def fixture_make_row() -> Callable[..., dict[str, Any]]:
    """Make one row."""
    return make_row


@pytest.fixture(name="make_rows", scope="session")
def fixture_make_rows() -> Callable[..., list[dict[str, Any]]]:
    """Make rows over the twelve layers."""
    return make_rows


@pytest.fixture(name="make_provenance", scope="session")
def fixture_make_provenance() -> Callable[..., dict[str, Any]]:
    """Make the provenance of some rows."""
    return make_provenance


@pytest.fixture(name="make_samples", scope="session")
def fixture_make_samples() -> Callable[..., list[dict[str, Any]]]:
    """Make the raw samples of some rows."""
    return make_samples


@pytest.fixture
def cpu_rows() -> list[dict[str, Any]]:
    """Rows of the CPU backend at batch 1."""
    return make_rows(CPU_ALGORITHMS, batch=1, experiment="cpu")


def write_table(folder: Path, rows: list[dict[str, Any]], kind: str = "cuda") -> Path:
    """Write rows as a results folder and return it; what a test has changed of a row follows from its TFLOPS."""
    for row in rows:
        settle(row)
    table.write(folder, rows, make_samples(rows), make_provenance(rows, kind))
    return folder


@pytest.fixture(name="write_table", scope="session")
def fixture_write_table() -> Callable[..., Path]:
    """Write rows as a results folder."""
    return write_table


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as a results folder of the test and return it."""

    def write(rows: list[dict[str, Any]], kind: str = "cuda", name: str = "test-gpu") -> Path:
        return write_table(tmp_path / name, rows, kind)

    return write


@pytest.fixture
def archive(build: Callable[..., Path]) -> table.Archive:
    """The whole made-up table of a GPU, with an ok row for every point but cuDNN's Winograd."""
    return table.read(build(make_rows()))


@pytest.fixture
def small(build: Callable[..., Path], make_row: Callable[..., dict[str, Any]]) -> table.Archive:
    """Two layers: im2win 2x and 0.5x the best cuDNN, Winograd wrong and unsupported, no cuDNN number on conv3."""
    held = {layer: tensor_bytes(sizes(layer), 64) for layer in ("conv1", "conv10")}
    rows = [
        make_row("im2win", "conv1", 8.0, workspace_bytes=held["conv1"] // 100),
        make_row("cudnn_gemm", "conv1", 4.0, workspace_bytes=3 * held["conv1"]),
        make_row("cudnn_winograd", "conv1", status="incorrect", reason="error 0.3", error_fro=float("nan")),
        make_row("im2win", "conv10", 2.0, workspace_bytes=held["conv10"] // 100),
        make_row("cudnn_gemm", "conv10", 4.0, workspace_bytes=0),
        make_row("cudnn_winograd", "conv10", status="unsupported", reason="no"),
        make_row("im2win", "conv3", 2.0),
        make_row("cudnn_gemm", "conv3", status="failed", reason="crashed"),
    ]
    return table.read(build(rows))


@pytest.fixture
def compensated(
    make_rows: Callable[..., list[dict[str, Any]]], make_row: Callable[..., dict[str, Any]]
) -> list[dict[str, Any]]:
    """The whole table, and im2win on tensor cores twice as fast as the best cuDNN in strict FP32."""
    layers = [f"conv{index}" for index in range(1, 13)]
    accurate = [
        make_row("im2win_tensor_core", layer, 20.0 * (1 + index / 10), numerics="fp32_accurate")
        for index, layer in enumerate(layers)
    ]
    return [*make_rows(), *accurate]

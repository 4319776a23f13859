"""Verdicts on small tables with known answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.numbers import verdicts
from analysis.numbers.judged import headline_claims
from analysis.table import archive as table
from analysis.table.archive import Archive

Rows = list[dict[str, Any]]
Build = Callable[..., Path]


def judge(build: Build, rows: Rows, kind: str = "cuda") -> pd.DataFrame:
    return verdicts.judge(table.read(build(rows, kind))).set_index("claim")


def scale(rows: Rows, algorithm: str, factor: float) -> Rows:
    for row in rows:
        if row["algorithm"] == algorithm and row["status"] == "ok":
            row["tflops"] *= factor
            row["time_ms"] /= factor
            row["time_ms_low"] /= factor
            row["time_ms_high"] /= factor
    return rows


def damage(rows: Rows, make_row: Callable[..., dict[str, Any]], algorithm: str, layers: list[str]) -> Rows:
    return [
        make_row(algorithm, row["layer"], status="failed", reason="crashed")
        if row["algorithm"] == algorithm and row["layer"] in layers
        else row
        for row in rows
    ]


def test_known_answers(archive: Archive) -> None:
    judged = verdicts.judge(archive).set_index("claim")
    assert len(judged) == 6
    assert judged["measured"].to_dict() == {
        "speedup_cublas": pytest.approx(2.0),
        "speedup_cudnn": pytest.approx(0.8),
        "speedup_direct": pytest.approx(160.0),
        "memory_cublas": pytest.approx(25.0),
        "memory_cudnn": pytest.approx(50.0),
        "ablation_micro_kernel": 1,
    }
    assert judged["verdict"].to_dict() == {
        "speedup_cublas": "partly",
        "speedup_cudnn": "not reproduced",
        "speedup_direct": "reproduced",
        "memory_cublas": "reproduced",
        "memory_cudnn": "reproduced",
        "ablation_micro_kernel": "reproduced",
    }
    assert set(judged["layers"]) == {12}
    assert judged.at["speedup_cudnn", "contradicted_by"].split() == [f"conv{index}" for index in range(1, 13)]
    assert judged.at["speedup_cublas", "carried_by"] == judged.at["speedup_cublas", "contradicted_by"] == ""


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(3.16 / 2, "reproduced"), (3.14 / 2, "partly"), (1.01 / 2, "partly"), (0.5, "not reproduced")],
)
def test_the_rule_at_its_edges(build: Build, make_rows: Callable[..., Rows], factor: float, verdict: str) -> None:
    judged = judge(build, scale(make_rows(), "im2win", factor))
    assert judged.at["speedup_cublas", "verdict"] == verdict  # 90 % of 3.5 is 3.15; 1 is a tie


def test_missing_layers_are_told(
    build: Build, make_rows: Callable[..., Rows], make_row: Callable[..., dict[str, Any]]
) -> None:
    judged = judge(build, damage(make_rows(), make_row, "im2col_cublas", ["conv2", "conv11"]))
    row = judged.loc["speedup_cublas"]
    assert (row["layers"], row["layers_of"], row["measured"]) == (10, 12, pytest.approx(2.0))
    assert row["reason"] == "without conv2 conv11, where not both are ok"
    assert judged.at["speedup_direct", "layers"] == 12
    few = [f"conv{index}" for index in range(1, 8)]
    row = judge(build, damage(make_rows(), make_row, "im2col_cublas", few)).loc["speedup_cublas"]
    assert (row["verdict"], row["reason"]) == ("not testable here", "only 5 of 12 layers")


def test_missing_baselines_are_not_testable(build: Build, make_rows: Callable[..., Rows]) -> None:
    judged = judge(build, make_rows(["im2win", "direct", "cudnn_winograd"]))  # Winograd: unsupported everywhere
    assert judged.at["speedup_direct", "verdict"] == "reproduced"
    for claim in ("speedup_cublas", "speedup_cudnn", "memory_cublas", "memory_cudnn", "ablation_micro_kernel"):
        assert judged.at[claim, "verdict"] == "not testable here"
        assert judged.at[claim, "reason"]
        assert pd.isna(judged.at[claim, "measured"])


def test_everything_unsupported(build: Build, make_row: Callable[..., dict[str, Any]]) -> None:
    rows = [make_row(name, "conv1", status="unsupported", reason="no") for name in ("im2win", "direct", "cudnn_fft")]
    assert set(judge(build, rows)["verdict"]) == {"not testable here"}


def test_no_process_peak_falls_back_visibly(build: Build, make_rows: Callable[..., Rows]) -> None:
    judged = judge(build, make_rows(process_peak_bytes=None))
    assert "counted" in judged.at["memory_cublas", "metric"]
    assert judged.at["memory_cublas", "verdict"] == "not reproduced"  # every algorithm counts 101 MiB: a tie
    assert "peak memory of the process" in judge(build, make_rows()).at["memory_cublas", "metric"]


@pytest.mark.parametrize(
    ("prefetch", "vectorized", "verdict", "rank"),
    [(1.0, 1.0, "reproduced", 1), (2 / 6, 1.0, "partly", 2), (1 / 6, 1 / 5, "not reproduced", 3)],
)
def test_the_ablation_is_ranked_and_a_tie_is_not_first(
    build: Build, make_rows: Callable[..., Rows], prefetch: float, vectorized: float, verdict: str, rank: int
) -> None:
    rows = scale(make_rows(), "im2win_without_prefetch", prefetch)
    row = judge(build, scale(rows, "im2win_without_vectorized_load", vectorized)).loc["ablation_micro_kernel"]
    assert (row["verdict"], row["measured"]) == (verdict, rank)


def test_an_optimization_that_costs_nothing_to_leave_out(build: Build, make_rows: Callable[..., Rows]) -> None:
    rows = make_rows()
    for name in ("prefetch", "vectorized_load", "micro_kernel"):
        rows = scale(rows, f"im2win_without_{name}", 10)
    row = judge(build, rows).loc["ablation_micro_kernel"]
    assert (row["verdict"], row["reason"]) == ("not reproduced", "leaving it out costs nothing")


def test_each_protocol_and_numeric_class_is_judged(build: Build, make_rows: Callable[..., Rows]) -> None:
    rows = [*make_rows(), *make_rows(protocol="authors"), *make_rows(["direct"], numerics="tf32")]
    archive = table.read(build(rows))
    judged = verdicts.judge(archive)
    assert judged[["protocol", "numerics"]].drop_duplicates().to_numpy().tolist() == [
        ["end_to_end", "strict_fp32"],
        ["end_to_end", "tf32"],
        ["authors", "strict_fp32"],
    ]
    assert set(judged.loc[judged["numerics"] == "tf32", "reason"]) == {
        "im2win, the paper's kernel, was not measured in tf32"
    }
    assert set(headline_claims(judged, archive)["protocol"]) == {"end_to_end"}
    tf32 = judge(build, make_rows(["im2win", "direct"], numerics="tf32"))
    assert tf32.at["speedup_direct", "verdict"] == "reproduced"
    assert tf32.at["speedup_cublas", "verdict"] == "not testable here"


def test_the_cpu_backend_and_other_suites_are_not_testable(
    build: Build, cpu_rows: Rows, make_rows: Callable[..., Rows]
) -> None:
    judged = judge(build, cpu_rows, "cpu")
    assert set(judged["verdict"]) == {"not testable here"}
    assert judged["reason"].str.contains("CPU backend").all()
    assert set(judge(build, make_rows(suite="tiny"))["verdict"]) == {"not testable here"}

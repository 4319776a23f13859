"""Intervals of samples whose answer is known, and what they do to verdicts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.numbers import verdicts
from analysis.numbers.algorithms import BEST_CUDNN
from analysis.numbers.bootstrap import TIMES, Resampler, interval, resample, statistic_of
from analysis.numbers.series import rows_of
from analysis.table import archive as table
from analysis.table.samples import no_samples
from analysis.table.statistics import values
from tests.analysis.conftest import sampled

Rows = list[dict[str, Any]]
Build = Callable[..., Path]
SAMPLES = np.array([1.0, 2.0, 3.0, 4.0, 100.0])


@pytest.mark.parametrize(
    ("protocol", "algorithm", "statistic"),
    [
        ("end_to_end", "direct", "median"),
        ("kernel_only", "cudnn_gemm", "median"),
        ("authors", "direct", "minimum"),
        ("authors", "im2win_without_prefetch", "minimum"),
        ("authors", "cudnn_autotuned", "mean"),
        ("authors", "im2col_cublas", "mean"),
    ],
)
def test_the_statistic_is_the_one_of_the_rows_time(protocol: str, algorithm: str, statistic: str) -> None:
    assert statistic_of(protocol, algorithm) == statistic


def test_statistics() -> None:
    assert [float(values(SAMPLES, one)) for one in ("median", "minimum", "mean")] == [3, 1, 22]


def test_equal_samples_have_an_interval_without_width() -> None:
    for statistic in ("median", "minimum", "mean"):
        assert interval(resample(np.full(7, 2.5), statistic, seed=1)) == (2.5, 2.5)


def test_one_sample_is_its_own_interval() -> None:
    assert interval(resample(np.array([0.25]), "median", seed=1)) == (0.25, 0.25)


def test_no_resamples_have_no_interval() -> None:
    assert np.isnan(interval(np.array([]))).all()


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    samples = np.random.default_rng(5).normal(10, 1, size=400)
    low, high = interval(resample(samples, "mean", seed=1))
    error = 1.96 * samples.std(ddof=1) / 20
    assert (low, high) == pytest.approx((samples.mean() - error, samples.mean() + error), abs=0.15 * error)


def test_the_interval_of_a_median_ends_at_order_statistics() -> None:
    # Of 5 samples the resampled median is the smallest with probability 0.058 and the largest with 0.058: above 2.5 %.
    assert interval(resample(SAMPLES, "median", seed=1)) == (1, 100)
    # Of 25, the bootstrap's distribution function (binomial) first passes 2.5 % at the 8th and 97.5 % at the 18th.
    low, high = interval(resample(np.arange(1.0, 26.0), "median", seed=1))
    assert low == pytest.approx(8, abs=1)
    assert high == pytest.approx(18, abs=1)


@pytest.mark.parametrize("count", [1, 2, 9, 20, 40_000])
def test_medians_are_those_of_the_samples_drawn(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.numbers.bootstrap.TIMES", 20)
    samples = np.random.default_rng(7).lognormal(size=count).round(2)  # some are equal
    picked = np.random.default_rng(1).integers(count, size=(20, count))
    assert (resample(samples, "median", seed=1) == np.median(samples[picked], axis=1)).all()


def test_a_minimum_only_moves_up() -> None:
    resampled = resample(SAMPLES, "minimum", seed=3)
    assert resampled.min() == 1
    assert (resampled == 1).mean() == pytest.approx(1 - 0.8**5, abs=0.05)


def test_the_same_key_gives_the_same_resamples(build: Build, make_rows: Callable[..., Rows]) -> None:
    archive = table.read(build(make_rows(["im2win", "direct"])))
    alone = table.read(build(make_rows(["im2win"]), name="alone"))
    selection = verdicts.selections(archive.measurements)[0]
    frames = [Resampler(one.samples()).times(selection, "im2win", "conv3") for one in (archive, alone)]
    assert frames[0] is not None and frames[1] is not None
    assert len(frames[0]) == TIMES
    assert (frames[0] == frames[1]).all()
    assert Resampler(archive.samples()).times(selection, "cudnn_fft", "conv3") is None


def with_samples(folder: Path, algorithm: str, factors: list[float]) -> Path:
    """Replace the three samples of an algorithm's rows by its time times `factors`."""
    archive = table.read(folder)
    measurements = archive.measurements.astype(object)
    rows = measurements.where(measurements.notna(), None).to_dict("records")
    samples = archive.samples()
    raw = samples[samples["algorithm"] != algorithm].to_dict("records")
    for row in rows:
        if row["algorithm"] == algorithm:
            raw += sampled(row, [factor * row["time_ms"] for factor in factors])
    table.write_samples(raw, folder / table.SAMPLES)
    table.write_measurements(rows, folder / table.MEASUREMENTS)
    return folder


def test_the_intervals_worse_end_decides(build: Build, make_rows: Callable[..., Rows]) -> None:
    rows = make_rows(["im2win", "im2col_cublas"])
    for row in rows:
        if row["algorithm"] == "im2win":  # 3.2x on every layer: above 90 % of 3.5
            row |= {"tflops": row["tflops"] * 1.6, "time_ms": row["time_ms"] / 1.6}
            row |= {"time_ms_low": row["time_ms"], "time_ms_high": row["time_ms"]}
    steady = verdicts.judge(table.read(build(rows))).set_index("claim").loc["speedup_cublas"]
    assert (steady["verdict"], steady["reason"]) == ("reproduced", "")
    assert (steady["measured_low"], steady["measured_high"]) == pytest.approx((3.2, 3.2))
    folder = with_samples(build(rows, name="noisy"), "im2win", [0.8, 1.0, 1.3])
    noisy = verdicts.judge(table.read(folder)).set_index("claim").loc["speedup_cublas"]
    assert noisy["measured"] == pytest.approx(3.2)
    assert noisy["measured_low"] < 3.15 < noisy["measured_high"]
    assert noisy["verdict"] == "partly"
    assert noisy["reason"] == "ambiguous: reproduced at the other end of the interval"


def test_a_rank_that_the_noise_decides_is_ambiguous(build: Build, make_rows: Callable[..., Rows]) -> None:
    rows = make_rows()
    for row in rows:
        if row["algorithm"] == "im2win_without_prefetch" and row["status"] == "ok":  # nearly as slow as the other
            row |= {"tflops": row["tflops"] / 2.99, "time_ms": row["time_ms"] * 2.99}
            row |= {"time_ms_low": row["time_ms"], "time_ms_high": row["time_ms"]}
    folder = with_samples(build(rows), "im2win_without_prefetch", [0.9, 1.0, 1.1])
    row = verdicts.judge(table.read(folder)).set_index("claim").loc["ablation_micro_kernel"]
    assert (row["measured"], row["measured_low"], row["measured_high"]) == (1, 1, 2)
    assert row["verdict"] == "partly"
    assert "ambiguous: reproduced" in row["reason"]


def test_memory_has_one_reading_and_no_interval(archive: table.Archive) -> None:
    judged = verdicts.judge(archive).set_index("claim")
    assert pd.isna(judged.at["memory_cublas", "measured_low"])
    assert judged.at["memory_cublas", "interval"] == "one reading per point"
    assert judged.at["speedup_cublas", "interval"] == "bootstrap of the raw samples"


def test_rows_without_samples_have_no_interval(build: Build, make_rows: Callable[..., Rows]) -> None:
    archive = replace(table.read(build(make_rows(["im2win", "im2col_cublas", "direct"]))), taken=no_samples())
    row = verdicts.judge(archive).set_index("claim").loc["speedup_cublas"]
    assert (row["interval"], row["layers"], row["measured"]) == ("no raw samples", 12, pytest.approx(2.0))
    assert pd.isna(row["measured_low"])


def test_the_best_cudnn_is_chosen_anew(build: Build, make_rows: Callable[..., Rows]) -> None:
    folder = build(make_rows(["im2win", "cudnn_implicit_gemm", "cudnn_gemm"]))
    judged = verdicts.judge(table.read(folder)).set_index("claim").loc["speedup_cudnn"]
    assert (judged["measured_low"], judged["measured_high"]) == pytest.approx((0.8, 0.8))
    noisy = table.read(with_samples(folder, "cudnn_gemm", [0.1, 1.0, 1.0]))  # in some resamples it is the faster one
    selection = verdicts.selections(noisy.measurements)[0]
    noise = verdicts.Noise(Resampler(noisy.samples()), selection, rows_of(noisy.measurements, selection))
    ratios = noise.ratio("im2win", BEST_CUDNN).to_numpy()
    assert np.unique(ratios.round(6)) == pytest.approx([8 / 30, 0.8], abs=1e-6)

"""Robust statistics, on samples with known answers."""

from __future__ import annotations

import random

import pytest

from analysis.table import statistics


def test_median_of_the_first_hundred_numbers() -> None:
    estimate = statistics.median([float(n) for n in range(1, 101)])
    assert estimate.value == 50.5
    # Ranks 40 and 61 of 100 bound the median with 95 % confidence (binomial distribution).
    assert (estimate.low, estimate.high) == (41.0, 61.0)
    assert estimate.half_width == pytest.approx(10 / 50.5)


def test_few_samples_give_their_extremes() -> None:
    estimate = statistics.median([3.0, 1.0, 2.0])
    assert (estimate.low, estimate.value, estimate.high) == (1.0, 2.0, 3.0)


def test_an_outlier_does_not_move_the_median() -> None:
    assert statistics.median([1.0] * 20 + [1000.0]).value == 1.0


def test_interval_covers_the_median_as_often_as_it_says() -> None:
    draw = random.Random(7)
    covered = 0
    for _ in range(1000):
        estimate = statistics.median([draw.expovariate(1.0) for _ in range(50)])
        covered += estimate.low <= 0.693147 <= estimate.high
    assert 930 <= covered <= 985


def test_mean_and_minimum() -> None:
    estimate = statistics.mean([1.0, 2.0, 3.0])
    assert estimate.value == 2.0
    assert estimate.high - estimate.value == pytest.approx(1.959964 / 3**0.5)
    assert statistics.mean([4.0]) == statistics.Estimate(4.0, 4.0, 4.0)
    assert statistics.minimum([3.0, 1.0, 2.0]) == statistics.Estimate(1.0, 1.0, 1.0)

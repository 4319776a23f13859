"""Robust statistics of timing samples, as the measuring program takes them and reading a table checks them.

Times are in milliseconds. Of the project and its packages this imports only numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

MEDIAN, MEAN, MINIMUM = "median", "mean", "minimum"
#: The statistic of a protocol that takes the one of the authors' artifact for each algorithm.
AUTHORS = "authors"
#: Two-sided 95 % point of the normal distribution.
_Z95 = 1.959964


@dataclass(frozen=True)
class Estimate:
    """A time and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval's width, relative to the value."""
        return (self.high - self.low) / (2 * self.value)


def values(samples: Numbers, statistic: str) -> Numbers:
    """Reduce the last axis by a statistic."""
    if statistic == MINIMUM:
        return np.asarray(samples.min(axis=-1))
    return np.asarray(samples.mean(axis=-1) if statistic == MEAN else np.median(samples, axis=-1))


def intervals(samples: Numbers, statistic: str) -> tuple[Numbers, Numbers]:
    """Give the ends of the 95 % interval of a statistic of the last axis.

    Those of the median are order statistics, by the normal approximation of the binomial distribution (Conover,
    Practical Nonparametric Statistics, section 3.2). With fewer than six samples they are the extremes, which cover
    less than 95 %. The mean's is a normal approximation; the minimum has none, so both ends are the minimum itself.
    """
    n = samples.shape[-1]
    if statistic == MEDIAN:
        ordered = np.sort(samples, axis=-1)
        reach = _Z95 * math.sqrt(n) / 2
        low, high = max(math.floor(n / 2 - reach), 0), min(math.ceil(n / 2 + reach), n - 1)
        return ordered[..., low], ordered[..., high]
    value = values(samples, statistic)
    if statistic == MINIMUM or n == 1:
        return value, value
    error = _Z95 * samples.std(axis=-1, ddof=1) / math.sqrt(n)
    return value - error, value + error


def estimate(samples: Sequence[float], statistic: str) -> Estimate:
    """Take a statistic of some samples and its interval."""
    taken = np.asarray(samples, dtype=float)
    low, high = intervals(taken, statistic)
    return Estimate(float(values(taken, statistic)), float(low), float(high))


def median(samples: Sequence[float]) -> Estimate:
    """Take the median and its distribution-free 95 % interval."""
    return estimate(samples, MEDIAN)


def mean(samples: Sequence[float]) -> Estimate:
    """Take the mean and its 95 % interval by the normal approximation."""
    return estimate(samples, MEAN)


def minimum(samples: Sequence[float]) -> Estimate:
    """Take the minimum, which has no interval."""
    return estimate(samples, MINIMUM)

"""Robust statistics of timing samples. Times are in milliseconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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


def median(samples: Sequence[float]) -> Estimate:
    """The median and its distribution-free 95 % interval.

    The interval's ends are order statistics, by the normal approximation of the binomial distribution (Conover,
    Practical Nonparametric Statistics, section 3.2). With fewer than six samples they are the extremes, which cover
    less than 95 %.
    """
    ordered = np.sort(np.asarray(samples, dtype=float))
    n = len(ordered)
    reach = _Z95 * math.sqrt(n) / 2
    low = max(math.floor(n / 2 - reach), 0)
    high = min(math.ceil(n / 2 + reach), n - 1)
    return Estimate(float(np.median(ordered)), float(ordered[low]), float(ordered[high]))


def mean(samples: Sequence[float]) -> Estimate:
    """The mean and its 95 % interval by the normal approximation."""
    values = np.asarray(samples, dtype=float)
    error = _Z95 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    value = float(values.mean())
    return Estimate(value, value - error, value + error)


def minimum(samples: Sequence[float]) -> Estimate:
    """The minimum; it has no interval, so both ends are the minimum itself."""
    value = float(min(samples))
    return Estimate(value, value, value)

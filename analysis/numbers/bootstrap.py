"""Bootstrap of the raw samples: how much a derived number would vary if every point had been sampled again.

Each row's samples are resampled with replacement, row by row, and each resample is reduced by the statistic that gave
the row its time. That gives TIMES resampled times per row, and a number that is computed from rows is computed for each
of them. This covers the noise within a measuring process, not the variation between processes or days.
"""

import zlib
from dataclasses import astuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.numbers.algorithms import about
from analysis.numbers.series import Selection, layer_order
from analysis.table.schema import KEY
from analysis.table.statistics import AUTHORS, MEDIAN, Numbers, values

TIMES = 2000
LEVEL = 0.95


def statistic_of(protocol: str, algorithm: str) -> str:
    """Name the statistic of a row's time: the median, but under `authors` the artifact's minimum or mean."""
    return about(algorithm).authors_statistic if protocol == AUTHORS else MEDIAN


def resample(samples: Numbers, statistic: str, seed: int) -> Numbers:
    """Draw TIMES resamples of one row's samples, each of the same length, and reduce each; determined by the seed."""
    picked = np.random.default_rng(seed).integers(len(samples), size=(TIMES, len(samples)))
    return _medians(samples, picked) if statistic == MEDIAN else values(samples[picked], statistic)


def _medians(samples: Numbers, picked: NDArray[np.int64]) -> Numbers:
    """Take the medians of `samples[picked]`, sorting 16-bit ranks, which is several times as fast as sorting floats."""
    if len(samples) > np.iinfo(np.int16).max:
        return values(samples[picked], MEDIAN)
    order = np.argsort(samples)
    ranks = np.empty(len(samples), dtype=np.int16)
    ranks[order] = np.arange(len(samples), dtype=np.int16)
    drawn = np.sort(ranks[picked], axis=-1)
    low, high = (len(samples) - 1) // 2, len(samples) // 2
    return np.asarray(samples[order][drawn[:, [low, high]]].mean(axis=-1))


def interval(resampled: Numbers) -> tuple[float, float]:
    """Take the 95 % percentile interval; its ends are resampled values, so those of a rank are whole numbers."""
    if not len(resampled):
        return float("nan"), float("nan")
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(resampled, [tail, 100 - tail], method="nearest")
    return float(low), float(high)


class Resampler:
    """The resampled times (ms) of a table's rows; a row's seed is its key, so it does not depend on other rows."""

    def __init__(self, samples: pd.DataFrame) -> None:
        """Take the raw samples of a table (SAMPLE_COLUMNS)."""
        self._samples = {key: times.to_numpy() for key, times in samples.groupby(list(KEY), sort=False)["time_ms"]}
        self._resampled: dict[tuple[object, ...], Numbers] = {}

    def times(self, selection: Selection, algorithm: str, layer: str) -> Numbers | None:
        """Give the resampled times of one row, or None where the table has no samples of it."""
        key = self._key(selection, algorithm, layer)
        if key not in self._samples:
            return None
        if key not in self._resampled:
            seed = zlib.crc32("/".join(str(part) for part in key).encode())
            self._resampled[key] = resample(self._samples[key], statistic_of(selection.protocol, algorithm), seed)
        return self._resampled[key]

    def frame(self, rows: pd.DataFrame, selection: Selection, members: list[str]) -> pd.DataFrame:
        """Give the resampled times of the fastest of `members` by layer (columns), over their ok rows.

        A single member is an algorithm itself. For a best of several, each resample chooses again, as a repetition of
        the experiment would. A layer without samples is left out.
        """
        ok = rows[rows["algorithm"].isin(members) & (rows["status"] == "ok")]
        found: dict[str, list[Numbers]] = {}
        for layer, of_it in ok.groupby("layer", sort=False)["algorithm"]:
            for name in self._contenders(selection, list(of_it), str(layer)):
                times = self.times(selection, name, str(layer))
                if times is not None:
                    found.setdefault(str(layer), []).append(times)
        best = {layer: np.minimum.reduce(found[layer]) for layer in layer_order(found)}
        return pd.DataFrame(best, index=range(TIMES))

    def _key(self, selection: Selection, algorithm: str, layer: str) -> tuple[object, ...]:
        experiment, suite, batch, protocol, numerics = astuple(selection)
        return (experiment, suite, protocol, numerics, batch, layer, algorithm)

    def _contenders(self, selection: Selection, members: list[str], layer: str) -> list[str]:
        """Leave out who cannot be the fastest in any resample: each sample is slower than all of another's."""
        samples = [self._samples.get(self._key(selection, name, layer)) for name in members]
        slowest = min((taken.max() for taken in samples if taken is not None), default=np.inf)
        return [
            name for name, taken in zip(members, samples, strict=True) if taken is not None and taken.min() <= slowest
        ]

"""Every time of every archive is the statistic of its own samples."""

from pathlib import Path

import numpy as np
import pytest

from analysis.numbers.bootstrap import reduce, statistic_of
from analysis.table.archive import read
from analysis.table.cli import ARCHIVES
from analysis.table.schema import KEY

FOLDERS = sorted(path for path in ARCHIVES.iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", FOLDERS, ids=[path.name for path in FOLDERS])
def test_every_time_is_the_statistic_of_its_samples(folder: Path) -> None:
    archive = read(folder)
    samples = {key: times.to_numpy() for key, times in archive.samples().groupby(list(KEY), sort=False)["time_ms"]}
    ok = archive.measurements[archive.measurements["status"] == "ok"]
    assert len(ok) == len(samples) > 0
    off = {}
    for row in ok.to_dict("records"):
        key = tuple(row[column] for column in KEY)
        value = float(reduce(samples[key], statistic_of(row["protocol"], row["algorithm"])))
        if abs(value - row["time_ms"]) > 2 * np.spacing(value):
            off[key] = (row["time_ms"], value)
    assert not off
    assert {statistic_of(*pair) for pair in ok[["protocol", "algorithm"]].to_numpy()} == {"median", "minimum", "mean"}

"""Every archive vouches for itself: it has a manifest, all its numbers hold, and every statistic occurs."""

from pathlib import Path

import pytest

from analysis.numbers.bootstrap import statistic_of
from analysis.table import check
from analysis.table.archive import read
from analysis.table.cli import ARCHIVES
from analysis.table.schema import MANIFEST, POINT_KEY

FOLDERS = sorted(path for path in ARCHIVES.iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", FOLDERS, ids=[path.name for path in FOLDERS])
def test_an_archive_holds_and_has_a_manifest(folder: Path) -> None:
    archive = read(folder)
    assert (folder / MANIFEST).is_file(), f"python -m workflow.archive --manifest {folder.name}"
    points = archive.points()
    ok = archive.measurements[archive.measurements["status"] == "ok"]
    found = set()
    for row in ok.to_dict("records"):
        statistic = check.statistic_of(row, points[tuple(row[column] for column in POINT_KEY)])
        assert statistic == statistic_of(row["protocol"], row["algorithm"])
        found.add(statistic)
    assert found == {"median", "minimum", "mean"}

"""Which numbers are older than today's sources, and what the report says of it."""

from pathlib import Path

import pytest

from analysis.numbers import staleness
from analysis.prose.findings import stale_sentences
from analysis.table.archive import Archive
from analysis.table.errors import ArchiveError


def test_an_older_harness_makes_every_number_stale(archive: Archive) -> None:
    sources = {"algorithms": {}, "harness": "changed"}
    found = staleness.compare(archive, sources)
    assert found.older_harness == found.points == 180
    assert len(found.keys) == 180


def test_only_what_differs_from_the_rest_is_marked(archive: Archive) -> None:
    """Where the measuring program is newer than all points, a mark on every number would hide the older kernels'."""
    algorithms = dict(archive.measurements[["algorithm", "source_hash"]].to_numpy().tolist())
    sources = {"algorithms": algorithms | {"im2win": "changed"}, "harness": "changed"}
    found = staleness.compare(archive, sources)
    assert {key[-1] for key in found.marked} == {"im2win"}
    (said,) = [one for one in stale_sentences(found) if "measuring program" in one]
    assert said.endswith("since all 180 points were measured.")
    for point in archive.provenance["points"][:20]:
        point["run"]["harness_hash"] = "changed"
    some = staleness.compare(archive, sources)
    assert some.marked == some.keys
    assert len(some.marked) == 180 - 20
    assert "since 160 of 180 points were measured; their numbers are marked" in " ".join(stale_sentences(some))


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "is missing"), ("{", "not JSON"), ("{}", "must hold algorithms"), ('{"algorithms": []}', "must hold")],
)
def test_damaged_sources(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "sources.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ArchiveError, match=f"sources.json: .*{message}"):
        staleness.read_sources(path)

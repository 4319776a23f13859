"""Which results still hold after conf/ or its schema has changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from analysis.table import archive as table
from workflow.experiment import catalog, identity, schema
from workflow.experiment.archives import ARCHIVES
from workflow.experiment.points import Point
from workflow.experiment.sweep import Selection, Sweep
from workflow.jobs.results import holds


@dataclass
class PaddedLayer(schema.Layer):
    """A layer with two fields that no archived point knows."""

    padding: int = 0
    rates: list[int] = field(default_factory=lambda: [1, 1])


@pytest.fixture
def padded(monkeypatch: pytest.MonkeyPatch) -> Iterator[catalog.Catalog]:
    """conf/ under a schema whose layers have new fields with defaults."""
    monkeypatch.setitem(schema.GROUPS, "layer", PaddedLayer)
    try:
        yield catalog.read()
    finally:
        monkeypatch.undo()
        schema.register()


def held(known: catalog.Catalog, archive: table.Archive) -> list[bool]:
    """Whether each point of an archive holds, if its algorithm's sources have not changed."""
    points, device = archive.provenance["points"], archive.provenance["device"]["slug"]
    sweeps = {name: Sweep(known, Selection(name, {}), device) for name in {one["experiment"] for one in points}}
    found = []
    for stored in points:
        sweep = sweeps[stored["experiment"]]
        point = Point(**{name: stored[name] for name in Point._fields})
        now = sweep.source_hash(point.algorithm)
        found.append(holds({"status": "ok", "point": stored["config"], "source_hash": now}, sweep, point))
    return found


@pytest.mark.parametrize("name", sorted(path.name for path in ARCHIVES.iterdir()))
def test_archived_points_hold_under_todays_conf(name: str, conf: catalog.Catalog) -> None:
    assert all(held(conf, table.read(ARCHIVES / name)))


@pytest.mark.parametrize("name", sorted(path.name for path in ARCHIVES.iterdir()))
def test_a_new_field_with_a_default_leaves_archived_points_valid(name: str, padded: catalog.Catalog) -> None:
    layer = padded.get("layer", "conv1")
    assert (layer["padding"], layer["rates"]) == (0, [1, 1])
    assert all(held(padded, table.read(ARCHIVES / name)))


def test_another_value_of_a_new_field_is_another_point(padded: catalog.Catalog) -> None:
    archive = table.read(ARCHIVES / "nvidia-h200")
    padded.groups["layer"]["conv1"]["padding"] = 1
    valid = held(padded, archive)
    changed = [point["layer"] == "conv1" for point in archive.provenance["points"]]
    assert [not holds for holds in valid] == changed
    assert any(changed)


def test_a_default_that_changes_is_another_point(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {"protocols": [{"name": "end_to_end", "max_samples": 1000}]}

    @dataclass
    class Longer(schema.Protocol):
        max_samples: int = 2000

    monkeypatch.setitem(schema.GROUPS, "protocol", Longer)
    now = {"protocols": [{"name": "end_to_end", "max_samples": 2000}]}
    assert identity.identity(now) != identity.identity(stored)


def test_what_describes_an_algorithm_decides_nothing(conf: catalog.Catalog) -> None:
    entry = conf.get("algorithm", "im2win")
    described: dict[str, Any] = entry | {"about": entry["about"] | {"label": "another", "color": "1"}}
    described |= {"module": "kernels.elsewhere"}
    assert identity.identity({"algorithm": described}) == identity.identity({"algorithm": entry})
    tuned = entry | {"parameters": {"schedule": {"waves": 2}}}
    assert identity.identity({"algorithm": tuned}) != identity.identity({"algorithm": entry})


def test_every_group_of_a_point_has_a_schema(conf: catalog.Catalog) -> None:
    sweep = Sweep(conf, Selection("paper", {}))
    resolved = sweep.resolve(next(iter(sweep.points.values())))
    grouped = {key for key, value in resolved.items() if isinstance(value, dict)} | {"protocol"}
    assert grouped <= set(schema.GROUPS)
    for group in grouped:
        fields = {each.name for each in dataclasses.fields(schema.GROUPS[group])}
        entry = resolved["protocols"][0] if group == "protocol" else resolved[group]
        assert set(entry) <= fields

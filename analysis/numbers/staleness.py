"""Which numbers of a table are stale: the sources of the kernel or of the measuring program have changed since."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.numbers.algorithms import in_order
from analysis.table.archive import Archive
from analysis.table.companions import key_of, read_models
from analysis.table.errors import ArchiveError
from analysis.table.schema import KEY, POINT_KEY


@dataclass(frozen=True)
class Staleness:
    """The stale rows (KEY values), those of them with an older kernel, and the algorithms and counts for the report."""

    keys: frozenset[tuple[object, ...]]
    kernel_keys: frozenset[tuple[object, ...]]
    older_kernels: tuple[str, ...]
    unknown: tuple[str, ...]
    older_harness: int
    points: int

    @property
    def all_older(self) -> bool:
        """Whether the measuring program has changed since the last point was measured, so that every row is stale."""
        return 0 < self.points == self.older_harness

    @property
    def marked(self) -> frozenset[tuple[object, ...]]:
        """The rows to mark: the stale ones; if all rows are stale, only those with an older kernel."""
        return self.kernel_keys if self.all_older else self.keys


def read_sources(path: Path) -> dict[str, Any]:
    """Read today's hashes, {"algorithms": {name: hash}, "harness": hash}. Raises ArchiveError."""
    way_out = "delete it and run snakemake, which writes it again"
    try:
        sources = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        wrong = "the file of today's source hashes is missing"
        raise ArchiveError(path, wrong, "run snakemake, which writes it") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArchiveError(path, f"cut short or not JSON ({error})", way_out) from None
    if not isinstance(sources, dict) or not isinstance(sources.get("algorithms"), dict) or "harness" not in sources:
        raise ArchiveError(path, "must hold algorithms (an object) and harness", way_out)
    return sources


def against_today(recorded: object, sources: Mapping[str, Any] | None, algorithm: str | None = None) -> str:
    """Say whether a recorded hash is today's: an algorithm's or, without one, the measuring program's.

    `sources` are today's hashes, if there are any.
    """
    if sources is None:
        return "not compared with today's"
    now = sources["harness"] if algorithm is None else sources["algorithms"].get(algorithm)
    return "as today" if recorded == now else "STALE: the sources have changed since"


def compare(archive: Archive, sources: Mapping[str, Any]) -> Staleness:
    """Compare the hash of every row that is ok, and of its run's measuring program, with today's.

    An algorithm that today's sources do not have cannot be compared, and is listed as unknown. A run that recorded no
    hash of the measuring program counts as older.
    """
    today = sources["algorithms"]
    ok = archive.measurements[archive.measurements["status"] == "ok"]
    points = archive.points()
    kernels, older, unknown, harness, by_older = set(), set(), set(), set(), set()
    for row in ok[[*KEY, "source_hash"]].to_dict("records"):
        key, algorithm = tuple(row[column] for column in KEY), row["algorithm"]
        point = tuple(row[column] for column in POINT_KEY)
        if algorithm not in today:
            unknown.add(algorithm)
        elif today[algorithm] != row["source_hash"]:
            older.add(algorithm)
            kernels.add(key)
        recorded = (points.get(point, {}).get("run") or {}).get("harness_hash")
        if recorded != sources["harness"]:
            harness.add(point)
            by_older.add(key)
    count = len(ok[list(POINT_KEY)].drop_duplicates())
    return Staleness(
        frozenset(kernels | by_older),
        frozenset(kernels),
        tuple(in_order(older)),
        tuple(in_order(unknown)),
        len(harness),
        count,
    )


def stale_models(archive: Archive, sources: Mapping[str, Any]) -> frozenset[tuple[object, ...]]:
    """Give the rows of whole networks (MODEL_KEY values) whose backend has other sources today, or none."""
    today = sources.get("backends", {})
    rows = read_models(archive.folder).to_dict("records")
    older = [row for row in rows if row["status"] == "ok" and today.get(row["backend"]) != row["source_hash"]]
    return frozenset(key_of(row) for row in older)

"""Stored results of points: reading one, and whether it still holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow.experiment.identity import identity
from workflow.experiment.points import Point
from workflow.experiment.sweep import Sweep

#: What the machine can do, in the folder of its results: see workflow.ceilings.
CEILINGS = "ceilings.json"


def read_result(path: Path) -> dict[str, Any] | None:
    """A stored result, or the list of a job; None where there is none, empty where it is damaged."""
    try:
        stored = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return stored if isinstance(stored, dict) else {}


def next_attempt(stored: Mapping[str, Any] | None) -> int:
    """The number of the next try of a point whose result so far is `stored`."""
    attempt = int((stored or {}).get("attempt", 1))
    return attempt + 1 if stored and stored.get("status") == "failed" else attempt


def stamp(path: Path) -> list[int] | None:
    """Size and modification time (ns) of a file, by which a change is noticed; None if there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return [status.st_size, status.st_mtime_ns]


def brief(result: Mapping[str, Any] | None) -> dict[str, Any]:
    """What decides whether a result holds; a job's list has this of each result."""
    if not result:
        return {}
    hashes = {row.get("source_hash") for row in result.get("rows", [])}
    return {
        "status": result.get("status"),
        "point": result.get("point"),
        "source_hash": hashes.pop() if len(hashes) == 1 else None,
    }


def holds(known: Mapping[str, Any], sweep: Sweep, point: Point) -> bool:
    """Whether a result, of which `brief` is known, is what would be measured now, and no failure."""
    if known.get("status") in (None, "failed") or known["source_hash"] != sweep.source_hash(point.algorithm):
        return False
    now = sweep.resolve(point, known["point"])
    return bool(known["point"] == now) or identity(known["point"]) == identity(now)

"""Stored results of points: reading one, and whether it calls for another attempt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: What result.json is a copy of until it is in the results table: see workflow.measure.
RECORD = "recorded.json"


def read_result(path: Path) -> dict[str, Any] | None:
    """A stored result; None where there is none, empty where it is damaged."""
    try:
        stored = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return stored if isinstance(stored, dict) else {}


def next_attempt(stored: Mapping[str, Any] | None) -> int:
    """The number of the attempt that the stored result calls for; its own number if it need not be measured again.

    Snakemake repeats a job whose parameters differ from the recorded ones, and this number is one of them: so a
    failed point is measured again at the next run and a damaged result is replaced (no stored attempt is 0).
    """
    if stored is None:
        return 1
    attempt = int(stored.get("attempt", 0))
    return attempt + 1 if stored.get("status") == "failed" else attempt

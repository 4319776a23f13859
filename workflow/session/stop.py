"""Stopping a run: a mark beside the results of a device, which every measurement looks for before it starts.

What was measured stays. The next run removes the mark and measures the point again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.table.files import write_atomically

_MARK = "stopped.txt"


def stop(folder: Path, point: str, document: dict[str, Any]) -> None:
    """Start no new measurement of the device whose results are in `folder`, because of the result of `point`."""
    write_atomically(folder / _MARK, f"{point}: {document['reason']}\nlog: {folder / document['run']['log']}\n")


def reason(folder: Path) -> str:
    """Why the run was stopped; nothing if it was not."""
    try:
        return (folder / _MARK).read_text().strip()
    except FileNotFoundError:
        return ""


def clear(results: str) -> None:
    """Remove the marks of an earlier run."""
    for mark in Path(results).glob(f"*/{_MARK}"):
        mark.unlink(missing_ok=True)

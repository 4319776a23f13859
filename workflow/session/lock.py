"""One run at a time in a folder of results; the lock goes with the process that holds it, however that ends."""

from __future__ import annotations

import sys
from pathlib import Path

from filelock import FileLock, Timeout

_held: list[FileLock] = []


def hold(results: str) -> None:
    """Lock the folder until this process ends. If another run holds it, say so and exit with status 1."""
    path = Path(results, ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)  # jobs do not inherit it
    try:
        lock.acquire(blocking=False)
    except Timeout:
        sys.exit(f"error: another run is at work in {results}: wait for it or stop it, or take --config results=DIR")
    _held.append(lock)

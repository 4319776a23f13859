"""One run at a time in a folder of results; the lock goes with the process that holds it, however that ends."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

_held: list[int] = []


def hold(results: str) -> None:
    """Lock the folder until this process ends. If another run holds it, say so and exit with status 1."""
    path = Path(results, ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)  # jobs do not inherit it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        sys.exit(f"error: another run is at work in {results}: wait for it or stop it, or take --config results=DIR")
    _held.append(descriptor)

"""What is costly to make and needed by many tests: made once, by the first one that needs it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock

from workflow.experiment import catalog

#: What conf/ offers. Nobody changes it: who wants another one copies it.
known_conf = cache(catalog.read)


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of this run of pytest, which `make` fills: once, though pytest-xdist has several processes.

    A folder that `make` failed to fill is made again.
    """
    base = factory.getbasetemp()
    # Each process of pytest-xdist has a folder of its own in that of the run.
    shared = (base.parent if base.name.startswith("popen-") else base) / "shared"
    shared.mkdir(exist_ok=True)
    folder, done = shared / name, shared / f"{name}.done"
    with FileLock(shared / f"{name}.lock"):
        if not done.exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            done.touch()
    return folder

"""Says from time to time how many points are measured, which one was the last, and how long the rest may take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

#: How often the results are looked at; a line is written if there are more of them.
_SECONDS = 15.0
#: A line fits into a terminal.
_WIDTH = 79


@dataclass
class Progress:
    """The results that a run writes, and how many of them there are. Times are in seconds."""

    #: Path of a result -> when it was last written before the run (ns); None for most.
    waiting: dict[Path, int | None]
    total: int = field(init=False)
    #: When the first ones were there, and how many: what came before, such as compiling, tells nothing of the rest.
    first: tuple[float, int] | None = None

    def __post_init__(self) -> None:
        self.total = len(self.waiting)

    def look(self, now: float) -> str:
        """A line on what was measured since the last look; empty if nothing was."""
        written = [path for path, before in self.waiting.items() if written_at(path) not in (None, before)]
        if not written:
            return ""
        for path in written:
            del self.waiting[path]
        done = self.total - len(self.waiting)
        line = f"measured {done} of {self.total} points"
        since, before = self.first = self.first or (now, done)
        if self.waiting and done > before:
            line += f", {_duration((now - since) / (done - before) * len(self.waiting))} left"
        *_, layer, algorithm, _ = written[-1].parts
        return f"{line} (last: {layer}, {algorithm})"[:_WIDTH]


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes} min" if minutes < 90 else f"about {minutes / 60:.1f} h"


def written_at(path: Path) -> int | None:
    """When a file was written, in ns; None if there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def watch(results: Callable[[], Iterable[Path]]) -> None:
    """Write such lines to standard error until the process ends; `results` are those that the run will write."""
    Thread(target=_watch, args=(results,), daemon=True).start()


def _watch(results: Callable[[], Iterable[Path]]) -> None:
    progress = Progress({path: written_at(path) for path in results()})
    while progress.waiting:
        time.sleep(_SECONDS)
        if line := progress.look(time.monotonic()):
            print(line, file=sys.stderr, flush=True)

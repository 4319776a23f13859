"""What other programs take of the CPU while a point is measured there: beside them a time is not the point's own."""

from __future__ import annotations

import os
import time
from pathlib import Path

#: More cores than this kept busy by others, and what was measured meanwhile does not count. A process that computes
#: beside a point takes one; a desktop that waits for its user, and Snakemake, less than a tenth.
MOST_CORES = 0.3
#: Linux counts in ticks of 10 ms, so less time than this says little.
_WINDOW_SECONDS = 0.2
_STAT = Path("/proc/stat")


class OtherLoad:
    """How many cores other programs keep busy from now on, of those that this process may use."""

    def __init__(self) -> None:
        self._names = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        self._started, self._before = time.monotonic(), self._others()

    def cores(self) -> float | None:
        """The mean so far, over 0.2 s at least: it waits so long. None where nothing tells."""
        time.sleep(max(0.0, self._started + _WINDOW_SECONDS - time.monotonic()))
        others, seconds = self._others(), time.monotonic() - self._started
        if others is None or self._before is None:
            return None
        return max(0.0, (others - self._before) / seconds)

    def _others(self) -> float | None:
        """The seconds for which these cores have worked for others; for other guests of the host ("steal") too."""
        try:
            lines = [line.split() for line in _STAT.read_text().splitlines()]
        except OSError:
            return None
        # user, nice, system, idle, iowait, irq, softirq, steal; what guests took is part of the first two.
        counts = [[int(count) for count in line[1:9]] for line in lines if line and line[0] in self._names]
        busy = sum(sum(core) - core[3] - core[4] for core in counts) / os.sysconf("SC_CLK_TCK")
        return busy - time.process_time()

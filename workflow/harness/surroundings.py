"""Whether work can be timed in this process at all, and the threads of the CPU backend."""

from __future__ import annotations

import os
import time

import torch

from workflow.harness.gate import Gate, GateError, WaitedError
from workflow.machine.settings import spoiled_by

#: How long blocked work is given to show itself.
_SHOW_SECONDS = 0.005


class UntimedError(Exception):
    """The results are right, but nothing can be timed in these surroundings."""


def use_threads(wanted: int) -> int:
    """Let PyTorch compute with so many threads on the CPU; with all cores that this process may use if 0.

    What a scheduler or a shell has set (OMP_NUM_THREADS) does not count: the same point has the same threads.
    """
    threads = wanted or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    return threads


def why_untimed(device: torch.device) -> str:
    """Why work cannot be timed here, tried on a copy, which is known to be right; nothing if it can.

    The stream is blocked and the copy queued: it must not wait on the host, and not write before it is released.
    """
    if device.type != "cuda":
        return ""
    source, target, other = torch.ones(1024, device=device), torch.zeros(1024, device=device), torch.cuda.Stream()

    def looks_written() -> bool:
        with torch.cuda.stream(other):
            return bool(target.any())

    # What runs for the first time loads kernels, which may synchronize: so all of it runs once before.
    target.copy_(source)
    torch.cuda.synchronize()
    looks_written()
    target.zero_()
    torch.cuda.synchronize()
    try:
        with Gate().closed():
            target.copy_(source)
            time.sleep(_SHOW_SECONDS)
            early = looks_written()
    except (GateError, WaitedError):
        return f"a stream cannot be blocked here{_suspects()}"
    torch.cuda.synchronize()
    return f"work on a blocked stream begins here{_suspects()}" if early else ""


def _suspects() -> str:
    found = spoiled_by(os.environ)
    if found:
        return f": unset {found}"
    return ": is a profiler or a sanitizer (ncu, compute-sanitizer) attached?"

"""A host's cores dealt to its GPUs, so that what runs for one GPU takes no host time from what is timed on another."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from workflow.machine.devices import installed_gpus

_CPUS = Path("/sys/devices/system/cpu")


def keep_to(uuid: str | None) -> None:
    """Run on the cores of this GPU from now on, as does every thread and process that is started then.

    None stands for the cores that no GPU has, for what waits for one. Nothing changes on a host without GPUs. For times
    by the host's clock: compiling a model, or making one, keeps every core busy that it may use.
    """
    gpus: list[str | None] = [gpu.uuid for gpu in installed_gpus()]
    if gpus:
        os.sched_setaffinity(0, deal(len(gpus) + 1)[[*gpus, None].index(uuid)])


@cache
def deal(shares: int) -> tuple[frozenset[int], ...]:
    """The numbers of the cores in each share, of those that this process could use when it was first asked.

    The threads of a physical core stay together. All of them are in every share if there are fewer than shares.
    """
    mine = os.sched_getaffinity(0)
    physical = list(dict.fromkeys(frozenset(_siblings(core) & mine) for core in sorted(mine)))
    if len(physical) < shares:
        return (frozenset(mine),) * shares
    ends = [len(physical) * share // shares for share in range(shares + 1)]
    return tuple(frozenset().union(*physical[begin:end]) for begin, end in zip(ends, ends[1:], strict=False))


def _siblings(core: int) -> set[int]:
    """The threads of its physical core, by the kernel's list ("0,16" or "0-1"); itself alone where there is none."""
    try:
        listed = (_CPUS / f"cpu{core}/topology/thread_siblings_list").read_text()
    except OSError:
        return {core}
    ends = [[int(end) for end in part.split("-")] for part in listed.strip().split(",")]
    return {core, *(one for first, *last in ends for one in range(first, (last or [first])[0] + 1))}

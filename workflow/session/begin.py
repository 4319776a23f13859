"""What a run does before its first job, and what it says when a job has failed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from analysis.table.files import write_atomically
from workflow.machine.lease import LeaseError, check_locks
from workflow.session.lock import hold
from workflow.session.progress import watch
from workflow.session.slurm import take_over
from workflow.session.stop import clear

#: A disk with less free space than this counts as full: a job's log may not have fitted either.
_LEAST_BYTES = 2**20


def begin(
    results: str,
    logs: Sequence[str],
    devices: Sequence[str] = (),
    written: Callable[[], Iterable[Path]] = tuple,
) -> None:
    """Lock the folder of results and clear what an earlier run left there; `logs` are Snakemake's own.

    `devices` are those of this host that are to be measured on, `written` tells the results that the run will write:
    how many there are of them is said from now on.

    Exits with status 1 and a message if another run holds the folder, or nothing can be written there,
    or measurements could not take turns on a device.
    """
    try:
        hold(results)
        clear(results)
        take_over(results, logs)
        check_locks(devices)
    except LeaseError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(_unwritable(results, error))
    watch(written)


def explain(results: str) -> None:
    """Say so if jobs failed because the folder of results cannot be written any more."""
    probe = Path(results, ".probe")
    try:
        write_atomically(probe, bytes(_LEAST_BYTES))
        probe.unlink()
    except OSError as error:
        print(_unwritable(results, error), file=sys.stderr)


def _unwritable(results: str, error: OSError) -> str:
    return (
        f"error: {results} cannot be written: {error}\n"
        "make room there, or name another folder (--config results=DIR), and give the same command again; what was "
        "measured stays"
    )

"""Turns on a device: a measurement has its GPU, or the CPU, to itself.

One lock file per physical device, which the operating system releases however the holder ends. The files lie in a
folder that all users of the host share, so that their runs and those of different checkouts take turns too.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from workflow.machine.devices import require_in_use, use

_POLL_SECONDS = 0.02
#: The first of these that exists and in which everybody may write has the lock files.
_SHARED_FOLDERS = ("/run/lock", "/tmp")
#: Of a lock file, whatever the umask: another user's run takes turns with ours.
_MODE = 0o666


class LeaseError(Exception):
    """A lock file that cannot be opened; the message names it and the way out."""


@contextmanager
def lease(devices: Sequence[str]) -> Iterator[str]:
    """Wait for a free device among `devices` (UUIDs, or "cpu"); it is ours until the context ends.

    Yields the name of the device. Raises LeaseError if a lock cannot be used.
    """
    locks = {device: FileLock(_path(device), mode=_MODE) for device in devices}
    device = _acquire(locks)
    try:
        yield device
    finally:
        locks[device].release()


@contextmanager
def leased_gpu(uuids: Sequence[str]) -> Iterator[str]:
    """A lease on one of these GPUs, which CUDA finds as its only one: to be entered before anything starts CUDA.

    Yields its UUID. Raises DeviceError if something has started CUDA before.
    """
    with lease(uuids) as uuid:
        use(uuid)
        require_in_use(uuid)
        yield uuid


def check_locks(devices: Sequence[str]) -> None:
    """Raises LeaseError if the lock of one of these devices cannot be used; one that is taken can."""
    for device in devices:
        lock = FileLock(_path(device), mode=_MODE)
        if _take(lock):
            lock.release()


def _acquire(locks: Mapping[str, FileLock]) -> str:
    while True:
        for device, lock in locks.items():
            if _take(lock):
                return device
        time.sleep(_POLL_SECONDS)


def _take(lock: FileLock) -> bool:
    """Whether the lock was free, and is ours now. Raises LeaseError."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except OSError as error:
        raise LeaseError(_unusable(Path(lock.lock_file), error)) from error
    return True


def _path(device: str) -> Path:
    return _lock_folder() / f"im2win-{device}.lock"


def _lock_folder() -> Path:
    """A folder in which every user of this host may write, the same for all of them whatever their TMPDIR."""
    for folder in map(Path, _SHARED_FOLDERS):
        if folder.is_dir() and folder.stat().st_mode & 0o1777 == 0o1777:
            return folder
    return Path(tempfile.gettempdir())


def _unusable(path: Path, error: OSError) -> str:
    return (
        f"the lock {path}, by which measurements take turns on a device, cannot be used: {error.strerror}\n"
        f"have its owner or an administrator remove it (rm {path}), or make it writable for all (chmod 666 {path})"
    )

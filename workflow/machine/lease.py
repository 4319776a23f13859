"""Turns on a device: a measurement has its GPU, or the CPU, to itself.

One lock file per physical device, held through an open descriptor: the kernel frees it however the holder ends.
The files lie in the machine's temporary folder, so that runs from different checkouts take turns too.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from workflow.machine.devices import require_in_use, use

_POLL_SECONDS = 0.02


@contextmanager
def lease(devices: Sequence[str]) -> Iterator[str]:
    """Wait for a free device among `devices` (UUIDs, or "cpu"); it is ours until the context ends.

    Yields the name of the device.
    """
    descriptors = {device: _open(device) for device in devices}
    try:
        yield _acquire(descriptors)
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)


@contextmanager
def leased_gpu(uuids: Sequence[str]) -> Iterator[str]:
    """A lease on one of these GPUs, which CUDA finds as its only one: to be entered before anything starts CUDA.

    Yields its UUID. Raises DeviceError if something has started CUDA before.
    """
    with lease(uuids) as uuid:
        use(uuid)
        require_in_use(uuid)
        yield uuid


def _open(device: str) -> int:
    path = Path(tempfile.gettempdir()) / f"im2win-{device}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    if os.fstat(descriptor).st_uid == os.getuid():
        os.fchmod(descriptor, 0o666)  # whatever the umask: another user's run takes turns with ours
    return descriptor


def _acquire(descriptors: dict[str, int]) -> str:
    while True:
        for device, descriptor in descriptors.items():
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return device
        time.sleep(_POLL_SECONDS)

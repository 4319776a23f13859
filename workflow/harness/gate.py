"""Blocks a CUDA stream until the host releases it, so that launch overhead is no part of what is timed on it."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

#: Work that synchronizes would deadlock behind a closed gate, and so would a launch for which the device's queue has no
#: room; the gate is opened after this many seconds.
_PATIENCE_SECONDS = 5.0
_WAIT_UNTIL_AT_LEAST = 0  # CU_STREAM_WAIT_VALUE_GEQ


class GateError(Exception):
    """The driver cannot block a stream."""


class WaitedError(Exception):
    """The host waited for work on the blocked stream."""


class Gate:
    """A wait in the stream for a number that the host raises (CUDA driver API, "Stream Memory Operations").

    Unlike a kernel that spins it takes no multiprocessor, and it lasts for as long as the host needs.
    """

    def __init__(self) -> None:
        self._number = torch.zeros(1, dtype=torch.int32).pin_memory()
        self._seen_by_host = self._number.numpy()
        self._times = 0

    @contextmanager
    def closed(self) -> Iterator[None]:
        """A context in which work on the current stream is queued and does not start before the context is left.

        Nothing inside may run for the first time: loading a kernel may synchronize. Raises GateError, and WaitedError
        if the host waited inside for the blocked work.
        """
        self._times += 1
        _wait_until_at_least(torch.cuda.current_stream().cuda_stream, self._number.data_ptr(), self._times)
        waited = threading.Event()

        def give_up() -> None:
            waited.set()
            self._open()

        # The work is the same each time: if it waits at all, it does so the first time.
        watch = threading.Timer(_PATIENCE_SECONDS, give_up) if self._times == 1 else None
        if watch:
            watch.start()
        try:
            yield
        finally:
            if watch:
                watch.cancel()
            self._open()
        if waited.is_set():
            raise WaitedError(
                "the work waits on the host for what it has queued, so that its time cannot be told from the host's: "
                "it synchronizes, which must be left to the caller, or queues more than the device accepts ahead "
                "(about 1000 launches), which takes a smaller batch"
            )

    def _open(self) -> None:
        self._seen_by_host[0] = self._times


def _wait_until_at_least(stream: int, address: int, number: int) -> None:
    status = _driver().cuStreamWaitValue32_v2(
        ctypes.c_void_p(stream), ctypes.c_uint64(address), ctypes.c_uint32(number), ctypes.c_uint(_WAIT_UNTIL_AT_LEAST)
    )
    if status:
        raise GateError(f"the driver cannot block a stream: cuStreamWaitValue32 returned CUDA error {status}")


@cache
def _driver() -> ctypes.CDLL:
    """The driver that PyTorch has loaded; the packages that wrap it take long to import."""
    return ctypes.CDLL("libcuda.so.1")

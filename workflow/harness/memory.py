"""Memory of a measuring process, by the allocator and as the driver reports it (the paper's metric)."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass

import pynvml
import torch

from workflow.machine.devices import nvml


@dataclass(frozen=True)
class Memory:
    """Peak bytes; None where there is no such reading. `method` says how the process's bytes were found."""

    allocator_peak_bytes: int | None
    process_peak_bytes: int | None
    method: str


def read(device: torch.device, uuid: str | None, used_before: int | None, guard_bytes: int = 0) -> Memory:
    """Peak memory of this process so far. Call it before anything that is not part of the algorithm is allocated.

    `guard_bytes` of the allocator's are ours (see workflow.harness.guards) and do not count; a process's peak comes in
    pages that are larger.

    On a GPU PyTorch's allocator keeps what it has once taken, so what the driver reports now is the peak of
    everything that went through it; the context and loaded kernels are in it too, as in the paper. `used_before` is
    what the device had in use before this process touched it; it serves where the driver does not list processes.
    """
    if device.type != "cuda":
        return Memory(None, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "resident set size")
    torch.cuda.synchronize()
    allocator = torch.cuda.max_memory_allocated() - guard_bytes
    assert uuid is not None
    process = _listed_bytes(uuid)
    if process is not None:
        return Memory(allocator, process, "NVML, by process")
    used = used_bytes(uuid)
    if used is None or used_before is None:
        return Memory(allocator, None, "not reported by the driver")
    return Memory(allocator, used - used_before, "NVML, device in use now less before")


def _listed_bytes(uuid: str) -> int | None:
    try:
        with nvml() as library:
            handle = library.nvmlDeviceGetHandleByUUID(uuid)
            for process in library.nvmlDeviceGetComputeRunningProcesses(handle):
                if process.pid == os.getpid() and process.usedGpuMemory:
                    return int(process.usedGpuMemory)
    except pynvml.NVMLError:
        pass
    return None


def used_bytes(uuid: str) -> int | None:
    """Bytes in use on the whole device; None where the driver does not say."""
    try:
        with nvml() as library:
            return int(library.nvmlDeviceGetMemoryInfo(library.nvmlDeviceGetHandleByUUID(uuid)).used)
    except pynvml.NVMLError:
        return None

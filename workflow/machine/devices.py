"""The NVIDIA GPUs of this machine, read through NVML: no CUDA context, no PyTorch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pynvml


class DeviceError(ValueError):
    """A GPU that does not exist was asked for, and the message lists those that do; or another one is in use."""


@dataclass(frozen=True)
class Gpu:
    """One physical GPU. `index` is NVML's, which counts in PCI order."""

    index: int
    uuid: str
    name: str
    architecture: str

    @property
    def slug(self) -> str:
        return slug(self.name)


def slug(name: str) -> str:
    """A device's name in lower-case words joined by hyphens, as folders are called."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


@contextmanager
def nvml() -> Iterator[Any]:
    """The NVML module, initialized. Raises pynvml.NVMLError where there is no driver."""
    pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def find_gpus() -> list[Gpu]:
    """The GPUs that CUDA programs of this process would see, in their order; empty where there is no driver.

    Obeys CUDA_VISIBLE_DEVICES, whose entries may be indices or UUIDs: as CUDA does, up to the first one that names no
    GPU (CUDA C++ Programming Guide, "CUDA Environment Variables").
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = installed_gpus()
    if visible is None:
        return gpus
    found: list[Gpu] = []
    for entry in visible.split(","):
        named = [gpu for gpu in gpus if _names(entry.strip(), gpu)]
        if not named:
            break
        found += named
    return found


def why_none() -> str:
    """Why `find_gpus` finds none: what NVML says, or which setting hides the GPUs that there are."""
    try:
        with nvml() as library:
            if not library.nvmlDeviceGetCount():
                return "the driver lists none"
    except pynvml.NVMLError as error:
        return str(error)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return "none answers"
    parts = ": parts of a GPU (MIG) are not measured, only whole ones" if visible.startswith("MIG-") else ""
    return f"CUDA_VISIBLE_DEVICES is {visible!r} and hides {described(installed_gpus())}{parts}; unset it"


def pytorch_without_cuda() -> str:
    """The version of a PyTorch that was built without CUDA, as the builds for CPUs are; else nothing.

    Read from its files: importing it takes a second.
    """
    found = importlib.util.find_spec("torch")
    if found is None or not found.submodule_search_locations:
        return ""
    text = Path(found.submodule_search_locations[0], "version.py").read_text()
    without = re.search(r"^cuda\b[^=\n]*= *None", text, re.MULTILINE)
    return importlib.metadata.version("torch") if without else ""


def described(gpus: Sequence[Gpu]) -> str:
    """GPUs by index and name, for a message."""
    return ", ".join(f"{gpu.index} ({gpu.name})" for gpu in gpus) or "none"


def installed_gpus() -> list[Gpu]:
    """Every GPU that answers; one that has fallen off the bus is left out, and a line on stderr says so."""
    gpus = []
    try:
        with nvml() as library:
            for index in range(library.nvmlDeviceGetCount()):
                try:
                    gpus.append(_gpu(library, index))
                except pynvml.NVMLError as error:
                    print(f"GPU {index} does not answer and is left out: {error}", file=sys.stderr)
    except pynvml.NVMLError:
        return []
    return gpus


def use(uuid: str) -> None:
    """From now on this GPU is the only one that CUDA finds: to be called before anything asks CUDA for its devices."""
    os.environ["CUDA_VISIBLE_DEVICES"] = uuid


def require_in_use(uuid: str) -> None:
    """Raise DeviceError unless CUDA's device is this GPU: `use` has no effect on a process that has asked before.

    Without this two processes that wait for different GPUs could measure on the same one.
    """
    import torch

    found = str(torch.cuda.get_device_properties(0).uuid)  # without the prefix that NVML gives
    if found.removeprefix("GPU-") != uuid.removeprefix("GPU-"):
        wrong = f"{uuid} was to be used, but CUDA's first device is GPU-{found}"
        raise DeviceError(f"{wrong}: something started CUDA before the GPU was chosen")


def _gpu(library: Any, index: int) -> Gpu:
    from kernels.build.architectures import architecture_name

    handle = library.nvmlDeviceGetHandleByIndex(index)
    architecture = architecture_name(*library.nvmlDeviceGetCudaComputeCapability(handle))
    uuid, name = (_text(read(handle)) for read in (library.nvmlDeviceGetUUID, library.nvmlDeviceGetName))
    return Gpu(index, uuid, name, architecture)


def _names(entry: str, gpu: Gpu) -> bool:
    return entry == str(gpu.index) or (entry.startswith("GPU-") and gpu.uuid.startswith(entry))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def select_gpus(indices: Sequence[int], gpus: Sequence[Gpu]) -> list[Gpu]:
    """Those of `gpus` with these NVML indices. Raises DeviceError naming one that is not there."""
    by_index = {gpu.index: gpu for gpu in gpus}
    for index in indices:
        if index not in by_index:
            raise DeviceError(f"there is no GPU {index}; the GPUs of this machine: {described(gpus)}")
    return [by_index[index] for index in indices]

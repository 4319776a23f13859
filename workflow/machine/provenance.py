"""What a result was measured with: machine, software, sources and the device's state."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pynvml

from kernels.build.sources import digest
from workflow.machine.devices import nvml

ROOT = Path(__file__).resolve().parents[2]

_PACKAGES = (
    "torch",
    "cuda-core",
    "cuda-bindings",
    "nvidia-cuda-nvrtc",
    "nvidia-cublas",
    "nvidia-cudnn-cu13",
    "triton",
    "nvidia-cutlass",
    "numpy",
    "snakemake",
    "hydra-core",
)


@cache
def git_state() -> dict[str, Any]:
    """Revision and dirty flag of this checkout.

    Where the sources travelled, the variable SOURCE_REVISION tells both, as `<revision>` or `<revision>-dirty`. It goes
    before what git says: the history beside a copy may be an older one's. They are null where there is neither, as in a
    download that was unpacked inside another repository.
    """
    if told := os.environ.get("SOURCE_REVISION"):
        return {"revision": told.removesuffix("-dirty"), "dirty": told.endswith("-dirty")}
    try:
        if Path(_git("rev-parse", "--show-toplevel")).resolve() == ROOT:
            return {"revision": _git("rev-parse", "HEAD"), "dirty": bool(_git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        pass
    return {"revision": None, "dirty": None}


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def software() -> dict[str, str | None]:
    """Versions of everything whose version may change a number."""
    versions: dict[str, str | None] = {"python": platform.python_version(), "os": platform.system()}
    versions["kernel"] = platform.release().split("-")[0]
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    import torch

    versions["cuda"] = torch.version.cuda
    versions["cudnn"] = _cudnn_version(torch.backends.cudnn.version())
    return versions


def _cudnn_version(number: int | None) -> str | None:
    """9.19.2 from 91902: since cuDNN 9 the number is major * 10000 + minor * 100 + patch."""
    if number is None:
        return None
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}" if number >= 90000 else str(number)


def host() -> str:
    """A hash that tells hosts apart without naming them: archives are published."""
    return digest([socket.gethostname()])[:8]


def cpu_name() -> str:
    """The processor's model name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def gpu_facts(uuid: str) -> dict[str, Any]:
    """What does not change while measuring: name, driver, memory, ECC, power limit, highest clocks."""
    with nvml() as library:
        handle = library.nvmlDeviceGetHandleByUUID(uuid)
        return {
            "uuid": uuid,
            "name": _read(library.nvmlDeviceGetName, handle),
            "driver": _read(library.nvmlSystemGetDriverVersion),
            "memory_bytes": library.nvmlDeviceGetMemoryInfo(handle).total,
            "ecc": _read(lambda h: bool(library.nvmlDeviceGetEccMode(h)[0]), handle),
            "power_limit_w": _read(lambda h: library.nvmlDeviceGetPowerManagementLimit(h) / 1e3, handle),
            "max_sm_clock_mhz": _read(library.nvmlDeviceGetMaxClockInfo, handle, library.NVML_CLOCK_SM),
            "max_memory_clock_mhz": _read(library.nvmlDeviceGetMaxClockInfo, handle, library.NVML_CLOCK_MEM),
        }


def gpu_state(uuid: str) -> dict[str, Any]:
    """What changes while measuring: clocks, temperature, power, and the reasons for a lowered clock (bit mask)."""
    with nvml() as library:
        handle = library.nvmlDeviceGetHandleByUUID(uuid)
        return {
            "sm_clock_mhz": _read(library.nvmlDeviceGetClockInfo, handle, library.NVML_CLOCK_SM),
            "memory_clock_mhz": _read(library.nvmlDeviceGetClockInfo, handle, library.NVML_CLOCK_MEM),
            "temperature_c": _read(library.nvmlDeviceGetTemperature, handle, library.NVML_TEMPERATURE_GPU),
            "power_w": _read(lambda h: library.nvmlDeviceGetPowerUsage(h) / 1e3, handle),
            "throttle_reasons": _read(library.nvmlDeviceGetCurrentClocksThrottleReasons, handle),
        }


def environment(uuid: str | None) -> dict[str, Any]:
    """The machine, its software and the sources, the same for every point of a run on one device."""
    facts = gpu_facts(uuid) if uuid else {"name": cpu_name()}
    return {
        "device": facts | {"kind": "cuda" if uuid else "cpu", "cores": os.cpu_count()},
        "software": software(),
        "git": git_state(),
        "host": host(),
    }


def _read(function: Any, *arguments: Any) -> Any:
    """The reading, or None where this GPU or driver does not offer it."""
    try:
        value = function(*arguments)
    except pynvml.NVMLError:
        return None
    return value.decode() if isinstance(value, bytes) else value

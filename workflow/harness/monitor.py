"""The device's clock and the reasons why it is lowered, read between samples; which readings discard a sample."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import pynvml

from workflow.harness.load import OtherLoad
from workflow.machine.devices import nvml

#: A sample taken below this share of the usual clock is discarded, as in NVBench.
CLOCK_SHARE = 0.75
#: Why a GPU may have lowered its clock (bits of NVML's mask). Hardware and heat come from outside of the measured
#: kernel; a power cap is the normal state of a kernel that keeps the whole chip busy.
REASONS = {
    "idle": pynvml.nvmlClocksThrottleReasonGpuIdle,
    "applications clocks": pynvml.nvmlClocksThrottleReasonApplicationsClocksSetting,
    "power cap": pynvml.nvmlClocksThrottleReasonSwPowerCap,
    "hardware slowdown": pynvml.nvmlClocksThrottleReasonHwSlowdown,
    "sync boost": pynvml.nvmlClocksThrottleReasonSyncBoost,
    "thermal slowdown (software)": pynvml.nvmlClocksThrottleReasonSwThermalSlowdown,
    "thermal slowdown (hardware)": pynvml.nvmlClocksThrottleReasonHwThermalSlowdown,
    "power brake": pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown,
}
SLOWDOWNS = ("hardware slowdown", "thermal slowdown (software)", "thermal slowdown (hardware)", "power brake")
_SLOWDOWN_BITS = sum(REASONS[name] for name in SLOWDOWNS)


@dataclass(frozen=True)
class Reading:
    """The multiprocessors' clock (None where it cannot be read) and the mask of reasons for a lowered one."""

    sm_clock_mhz: float | None = None
    reasons: int = 0

    def __or__(self, other: Reading) -> Reading:
        """What two readings around a sample say of it: the lower clock, the reasons of both."""
        clocks = [one.sm_clock_mhz for one in (self, other) if one.sm_clock_mhz is not None]
        return Reading(min(clocks, default=None), self.reasons | other.reasons)

    def names(self) -> list[str]:
        """The reasons by name."""
        return [name for name, bit in REASONS.items() if self.reasons & bit]


class Monitor(Protocol):
    """What the timing asks of a device."""

    #: The clock at which the device usually runs under load, in MHz; None if unknown.
    usual_mhz: float | None

    def read(self) -> Reading:
        """The state now."""

    def watch(self) -> OtherLoad | None:
        """Watches from now on what else the CPU does; None where no time depends on that."""


def slow(reading: Reading, usual_mhz: float | None) -> bool:
    """Whether the clock is far below the usual one."""
    return bool(usual_mhz and reading.sm_clock_mhz is not None and reading.sm_clock_mhz < CLOCK_SHARE * usual_mhz)


def throttled(reading: Reading, usual_mhz: float | None) -> str:
    """Why a sample with this reading is to be discarded; nothing if it is not."""
    if reading.reasons & _SLOWDOWN_BITS:
        return ", ".join(name for name in reading.names() if name in SLOWDOWNS)
    if slow(reading, usual_mhz):
        return f"clock below {100 * CLOCK_SHARE:.0f} % of {usual_mhz:.0f} MHz"
    return ""


class CpuMonitor:
    """The CPU's clock is not read, but who else computes there is."""

    usual_mhz: float | None = None

    def read(self) -> Reading:
        return Reading()

    def watch(self) -> OtherLoad | None:
        return OtherLoad()


class GpuMonitor:
    """Readings through NVML, which stays initialized: a reading takes microseconds then."""

    def __init__(self, uuid: str, usual_mhz: float | None) -> None:
        self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        self.usual_mhz = usual_mhz

    def read(self) -> Reading:
        try:
            mhz = float(pynvml.nvmlDeviceGetClockInfo(self._handle, pynvml.NVML_CLOCK_SM))
        except pynvml.NVMLError:
            return Reading()
        try:
            return Reading(mhz, int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle)))
        except pynvml.NVMLError:
            return Reading(mhz)

    def watch(self) -> OtherLoad | None:
        return None


@contextmanager
def monitor(uuid: str | None) -> Iterator[Monitor]:
    """The monitor of a GPU, or of the CPU where `uuid` is None."""
    if uuid is None:
        yield CpuMonitor()
        return
    with nvml():
        yield GpuMonitor(uuid, usual_clock_mhz())


def usual_clock_mhz() -> float | None:
    """What CUDA calls the clock rate of its first device: the boost clock, which NVML's highest one may exceed.

    Asked of the driver itself: the packages that wrap it take longer to import than many a point takes to measure.
    """
    clock_rate, kilohertz = 13, ctypes.c_int()  # CU_DEVICE_ATTRIBUTE_CLOCK_RATE
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    if driver.cuInit(0) or driver.cuDeviceGetAttribute(ctypes.byref(kilohertz), clock_rate, 0):
        return None
    return kilohertz.value / 1e3 or None

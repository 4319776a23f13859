"""Lower bounds on the time of a convolution, from the machine's measured ceilings.

A time below one of them is an error of measuring, or not a convolution's, and is never published.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kernels.problem import FLOAT_BYTES, Axis, ConvProblem

#: Arithmetic of conf/algorithm -> the ceiling that bounds it, and how many operations there it takes for each of the
#: direct convolution's. What computes in another domain does fewer, and only memory bounds it.
_UNITS: dict[str, tuple[str, int]] = {"fp32": ("fp32_flops", 1), "tf32": ("tf32_flops", 1), "fp16x3": ("fp16_flops", 3)}
_NAMES = {
    "fp32_flops": "FP32 rate",
    "tf32_flops": "TF32 matrix rate",
    "fp16_flops": "FP16 matrix rate",
    "copy_bytes_per_s": "copy bandwidth",
}
#: How often a ceiling is measured again before a time counts as impossible, and how far apart.
_TRIES, _APART_SECONDS = 5, 1.0


@dataclass(frozen=True)
class LowerBound:
    """One bound: `amount` (FLOPs or bytes) at the rate of a ceiling (per second) takes `time_ms` at least."""

    ceiling: str
    amount: int
    rate: float

    @property
    def time_ms(self) -> float:
        return 1e3 * self.amount / self.rate

    def describe(self, time_ms: float) -> str:
        """Why a time is impossible."""
        unit = "FLOP" if self.ceiling.endswith("flops") else "B"
        return (
            f"{time_ms:.4g} ms is below the lower bound of {self.time_ms:.4g} ms, {self.amount / 1e9:.4g} G{unit} "
            f"at the measured {_NAMES[self.ceiling]} of {self.rate / 1e12:.4g} T{unit}/s: "
            f"{self.time_ms / time_ms:.3g} times what this machine can do"
        )


class OverCeilingError(Exception):
    """A time that the machine cannot reach: whatever was measured, it is not this convolution's time."""

    def __init__(self, protocol: str, bound: LowerBound, time_ms: float) -> None:
        """`bound` is the one that the time is below."""
        super().__init__(f"over the ceiling: {protocol}: {bound.describe(time_ms)}")
        self.facts = {"protocol": protocol, "time_ms": time_ms, "bound_ms": bound.time_ms, **asdict(bound)}


def hold(
    protocol: str,
    time_ms: float,
    tolerance: float,
    bounds_by: Callable[[Mapping[str, Any]], list[LowerBound]],
    ceilings: Mapping[str, Any],
    measure_again: Callable[[str], Mapping[str, float]],
) -> None:
    """Hold a time against the lower bounds that follow from the `ceilings` by `bounds_by`. Raises OverCeilingError.

    A ceiling that was measured while the machine was busy is too low, so it is measured again a few times before it
    counts.
    """
    highest = dict(ceilings)
    over = exceeded(bounds_by(highest), time_ms, tolerance)
    for tried in range(_TRIES):
        if over is None:
            return
        if tried:
            time.sleep(_APART_SECONDS)
        again = measure_again(over.ceiling)
        print(f"{protocol}: {over.describe(time_ms)}; measured again: {dict(again)}")
        highest |= {name: max(rate, highest[name]) for name, rate in again.items()}
        over = exceeded(bounds_by(highest), time_ms, tolerance)
    if over is not None:
        raise OverCeilingError(protocol, over, time_ms)


def bounds(
    problem: ConvProblem,
    arithmetic: str,
    tf32: bool,
    protocol: Mapping[str, Any],
    on_gpu: bool,
    ceilings: Mapping[str, Any],
) -> list[LowerBound]:
    """Every bound on the time of `problem` under `protocol`, as far as `ceilings` (see workflow.ceilings) has its rate.

    `tf32` allows TF32 where the arithmetic is FP32.
    """
    cold = on_gpu and protocol["clock"] == "device" and protocol["cold_l2"]
    found = []
    unit, operations = _UNITS.get("tf32" if tf32 and arithmetic == "fp32" else arithmetic, ("", 0))
    if ceilings.get(unit):
        found.append(LowerBound(unit, operations * problem.flops_without_padding, float(ceilings[unit])))
    if ceilings.get("copy_bytes_per_s"):
        amount = least_bytes(problem, protocol["timed"], cold, int(ceilings.get("cache_bytes") or 0))
        found.append(LowerBound("copy_bytes_per_s", amount, float(ceilings["copy_bytes_per_s"])))
    return found


def exceeded(found: list[LowerBound], time_ms: float, tolerance: float) -> LowerBound | None:
    """The bound that a time is furthest below, by more than the share `tolerance`; None if it is below none."""
    over = [bound for bound in found if time_ms * (1 + tolerance) < bound.time_ms]
    return max(over, key=lambda bound: bound.time_ms, default=None)


def least_bytes(problem: ConvProblem, timed: str, cold: bool, cache_bytes: int) -> int:
    """Bytes that must pass between memory and chip: inputs that some window covers are read, outputs written.

    As much as fits into the last cache may stay there: of the output, and of everything where the cache is warm. What
    was prepared before the clock started may have been packed into half its bytes.
    """
    rows, columns = _covered(problem.rows), _covered(problem.columns)
    size = FLOAT_BYTES if timed == "run" else FLOAT_BYTES // 2
    n, out, h, w = problem.output_shape
    filters = math.prod(problem.filter_shape)
    read = size * (problem.batch * problem.in_channels * rows * columns + filters)
    written = FLOAT_BYTES * n * out * h * w
    if cold:
        return read + max(0, written - cache_bytes)
    return max(0, read + written - cache_bytes)


def _covered(axis: Axis) -> int:
    """Elements along one direction that some window covers."""
    covered = bytearray(axis.padded)
    for tap in range(axis.kernel):
        first = tap * axis.dilation
        covered[first : first + (axis.outputs - 1) * axis.stride + 1 : axis.stride] = b"\1" * axis.outputs
    return sum(covered[axis.before : axis.before + axis.size])

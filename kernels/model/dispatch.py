"""Which kernel computes a convolution of a model, and that it is made ready once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from threading import Lock

import torch

from ..algorithm import Algorithm
from ..build.architectures import OLDEST_ARCHITECTURE
from ..families.im2win import Im2winFused
from ..families.im2win_depthwise import Im2winDepthwise
from ..families.im2win_grouped import Im2winGrouped
from ..families.im2win_tensor_core import Im2winTensorCore
from ..families.im2win_tensor_core_winograd import Im2winTensorCoreWinograd
from ..families.im2win_winograd import Im2winWinograd
from ..launch import KernelLibrary
from ..plan import UnsupportedError
from ..problem import ConvProblem
from ..tiles.tensor_core import pays
from . import tuning
from .programs import CachedLibrary
from .recorded import Fused, Recorded

#: The classes of arithmetic that a caller may ask for, the default first (docs/measuring.md).
NUMERICS = ("fp32_accurate", "strict_fp32")

_LOCK, _NOTHING = Lock(), Fused()
_FOUND: dict[tuple[ConvProblem, torch.device, str, Fused, bool], Recorded | str] = {}


def algorithms(problem: ConvProblem, numerics: str, capability: tuple[int, int]) -> list[Algorithm]:
    """The algorithms of a class that may take a problem, the fastest one first. Strict FP32 is FP32-accurate too.

    Where tiles are timed (`tuning`), so are all of these.
    """
    if problem.is_depthwise:
        return [Im2winDepthwise("im2win_depthwise")]
    accurate: list[Algorithm] = []
    if numerics == NUMERICS[0]:
        accurate = [
            Im2winTensorCore("im2win_tensor_core"),
            Im2winTensorCoreWinograd("im2win_tensor_core_winograd"),
        ]
    if problem.groups > 1:
        return [Im2winGrouped("im2win_grouped"), *accurate]
    strict: list[Algorithm] = [Im2winWinograd("im2win_winograd"), Im2winFused("im2win_fused")]
    return [*accurate, *strict] if pays(capability) else [*strict, *accurate]


def takes(device: torch.device) -> bool:
    """Whether the kernels run on a device, if it is not too old."""
    return device.type == "cuda"


def find(problem: ConvProblem, device: torch.device, numerics: str, fused: Fused = _NOTHING) -> Recorded | str:
    """What computes a problem on a device, or why nothing does. The first call for a problem may compile a kernel.

    `fused` is what is to be done to the results. With PyTorch's autotuner on that call times the algorithms of the
    class and their tiles, unless a CUDA graph is captured.
    """
    asked, tuned = (problem, device, numerics, fused), tuning.is_on(device)
    with _LOCK:
        if tuned and (*asked, True) not in _FOUND and tuning.is_capturing(device):
            tuned = False
        if (key := (*asked, tuned)) not in _FOUND:
            _FOUND[key] = _make(*key)
        return _FOUND[key]


def _make(problem: ConvProblem, device: torch.device, numerics: str, fused: Fused, tuned: bool) -> Recorded | str:
    if why := too_old(device):
        return why
    found, reasons = [], []
    kernels = library(device)
    kernels.enter()
    for algorithm in algorithms(problem, numerics, _capability(device)):
        try:
            found.append(Recorded(algorithm, problem, device, kernels, fused, tuned))
        except UnsupportedError as error:
            reasons.append(f"{algorithm.name}: {error}")
        if found and not tuned:
            break
    return _fastest(found, problem, device, fused) if found else "; ".join(reasons)


def _fastest(candidates: Sequence[Recorded], problem: ConvProblem, device: torch.device, fused: Fused) -> Recorded:
    """The one that computes a convolution, and what is `fused`, in the least time; the first for want of memory."""
    if len(candidates) == 1:
        return candidates[0]
    try:
        x, f, y = tuning.tensors(problem, device)
        bias = y.new_zeros(problem.out_channels) if fused.bias else None
        residual = torch.zeros_like(y) if fused.residual else None

        def time_of(one: Recorded) -> float:
            prepared = one.prepare(f)
            one.compute(x, f, y, prepared, bias, residual)
            return tuning.time(lambda: one.compute(x, f, y, prepared, bias, residual))

        return min(candidates, key=time_of)
    except torch.OutOfMemoryError:
        return candidates[0]


def too_old(device: torch.device) -> str:
    """Why a GPU is too old for the kernels; empty if it is not."""
    major, minor = _capability(device)
    if 10 * major + minor >= OLDEST_ARCHITECTURE:
        return ""
    return f"the GPU has compute capability {major}.{minor}, and the kernels need {OLDEST_ARCHITECTURE / 10}"


def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)


@cache
def library(device: torch.device) -> KernelLibrary:
    """The kernels for a device."""
    return CachedLibrary(device)

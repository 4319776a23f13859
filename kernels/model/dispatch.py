"""Which kernel computes a convolution of a model, and that it is made ready once."""

from __future__ import annotations

from functools import cache
from threading import Lock

import torch

from ..algorithm import Algorithm
from ..build.architectures import OLDEST_ARCHITECTURE
from ..families.im2win import Im2winFused
from ..families.im2win_depthwise import Im2winDepthwise
from ..families.im2win_grouped import Im2winGrouped
from ..families.im2win_tensor_core import Im2winTensorCore
from ..families.im2win_winograd import Im2winWinograd
from ..launch import KernelLibrary
from ..plan import UnsupportedError
from ..problem import ConvProblem
from ..tiles.tensor_core import pays
from .programs import CachedLibrary
from .recorded import Fused, Recorded

#: The classes of arithmetic that a caller may ask for, the default first (docs/measuring.md).
NUMERICS = ("fp32_accurate", "strict_fp32")

_LOCK, _NOTHING = Lock(), Fused()
_FOUND: dict[tuple[ConvProblem, torch.device, str, Fused], Recorded | str] = {}


def algorithms(problem: ConvProblem, numerics: str, capability: tuple[int, int]) -> list[Algorithm]:
    """The algorithms of a class that may take a problem, the fastest one first. Strict FP32 is FP32-accurate too."""
    if problem.is_depthwise:
        return [Im2winDepthwise("im2win_depthwise")]
    accurate: list[Algorithm] = [Im2winTensorCore("im2win_tensor_core")] if numerics == NUMERICS[0] else []
    if problem.groups > 1:
        return [Im2winGrouped("im2win_grouped"), *accurate]
    strict: list[Algorithm] = [Im2winWinograd("im2win_winograd"), Im2winFused("im2win_fused")]
    return [*accurate, *strict] if pays(capability) else [*strict, *accurate]


def takes(device: torch.device) -> bool:
    """Whether the kernels run on a device, if it is not too old."""
    return device.type == "cuda"


def find(problem: ConvProblem, device: torch.device, numerics: str, fused: Fused = _NOTHING) -> Recorded | str:
    """What computes a problem on a device, or why nothing does. The first call for a problem may compile a kernel.

    `fused` is what is to be done to the results, if the kernel can.
    """
    key = (problem, device, numerics, fused)
    with _LOCK:
        if key not in _FOUND:
            _FOUND[key] = _make(*key)
        return _FOUND[key]


def _make(problem: ConvProblem, device: torch.device, numerics: str, fused: Fused) -> Recorded | str:
    if why := too_old(device):
        return why
    reasons = []
    kernels = library(device)
    kernels.enter()
    for algorithm in algorithms(problem, numerics, _capability(device)):
        try:
            return Recorded(algorithm, problem, device, kernels, fused)
        except UnsupportedError as error:
            reasons.append(f"{algorithm.name}: {error}")
    return "; ".join(reasons)


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

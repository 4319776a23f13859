"""Kernel launches whose arguments are packed once: what a launch costs the host is then a call of the driver."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

#: Starts a kernel on a stream (its handle); the pointers are those of the launch's slots.
Start = Callable[[Sequence[int], int], None]


@dataclass(frozen=True, eq=False)
class Launch:
    """A launch as `KernelLibrary.launch` takes it."""

    kernel: Any
    grid: tuple[int, ...]
    threads: int
    arguments: tuple[torch.Tensor | int | None, ...]
    shared_bytes: int = 0
    cluster: int = 1


class _Config(ctypes.Structure):
    """CUlaunchConfig of the CUDA driver API."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("attribute_count", ctypes.c_uint),
    )


class _Attribute(ctypes.Structure):
    """CUlaunchAttribute of the CUDA driver API; its value is a union of 64 bytes."""

    _fields_ = (("id", ctypes.c_int), ("pad", ctypes.c_char * 4), ("value", ctypes.c_uint * 16))


#: CUDA_ERROR_INVALID_CONTEXT
_INVALID_CONTEXT = 201
#: CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
_CLUSTER_DIMENSION = 4


def address(tensor: torch.Tensor | None) -> int:
    """What a kernel gets for a tensor; a null pointer for None."""
    return 0 if tensor is None else tensor.data_ptr()


def pack(launch: Launch, slots: Sequence[int | None], enter: Callable[[], None]) -> Start:
    """What starts `launch`; argument i is pointer `slots[i]` of those given, or fixed where that is None.

    `enter` makes the device's context current, which a new thread lacks.
    Tensors that are fixed must be kept alive. Not for several threads at once: the packed arguments are changed in
    place.
    """
    # Every argument has eight bytes to itself; the kernel reads as many as it declares.
    values = (ctypes.c_uint64 * len(launch.arguments))()
    for index, value in enumerate(launch.arguments):
        values[index] = (value & 0xFFFFFFFF) if isinstance(value, int) else address(value)
    start = ctypes.addressof(values)
    addresses = (ctypes.c_void_p * len(values))(*(start + 8 * index for index in range(len(values))))
    given = [(index, slot) for index, slot in enumerate(slots) if slot is not None]
    config = _Config(
        (ctypes.c_uint * 3)(*launch.grid, *(1,) * (3 - len(launch.grid))),
        (ctypes.c_uint * 3)(launch.threads, 1, 1),
        launch.shared_bytes,
    )
    attribute = _Attribute(_CLUSTER_DIMENSION)
    if launch.cluster > 1:
        attribute.value[:3] = (launch.cluster, 1, 1)
        config.attributes, config.attribute_count = ctypes.addressof(attribute), 1
    function, kernel, at = _driver().cuLaunchKernelEx, ctypes.c_void_p(int(launch.kernel.handle)), ctypes.byref(config)

    def run(pointers: Sequence[int], stream: int, kept: Any = (values, attribute)) -> None:
        for index, slot in given:
            values[index] = pointers[slot]
        config.stream = stream
        status = function(at, kernel, addresses, None)
        if status == _INVALID_CONTEXT:
            enter()
            status = function(at, kernel, addresses, None)
        if status:
            raise RuntimeError(f"cuLaunchKernelEx returned CUDA error {status}")

    return run


@cache
def _driver() -> ctypes.CDLL:
    """The driver that PyTorch has loaded."""
    return ctypes.CDLL("libcuda.so.1")

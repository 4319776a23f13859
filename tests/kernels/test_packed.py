"""Packed launches: what the driver would be handed."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
import torch

from kernels import packed
from kernels.packed import Launch, pack


class Driver:
    """Notes what cuLaunchKernelEx is called with."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.status = 0

    def cuLaunchKernelEx(self, config: Any, kernel: ctypes.c_void_p, parameters: Any, extra: None) -> int:
        config = config._obj
        pointers = [ctypes.c_uint64.from_address(address).value for address in parameters]
        attributes = (packed._Attribute * config.attribute_count).from_address(config.attributes or 0)
        self.calls.append(
            {
                "grid": list(config.grid),
                "block": list(config.block),
                "shared": config.shared_bytes,
                "stream": config.stream,
                "kernel": kernel.value,
                "parameters": pointers,
                "attributes": [(one.id, list(one.value[:3])) for one in attributes],
            }
        )
        return self.status


class Kernel:
    handle = 0x1234


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    found = Driver()
    monkeypatch.setattr(packed, "_driver", lambda: found)
    return found


def enter() -> None:
    raise AssertionError("there is a context")


def test_what_the_driver_is_handed(driver: Driver) -> None:
    table = torch.zeros(4)
    arguments = (torch.empty(0), table, -3, 2**31 + 5, torch.empty(0))
    start = pack(Launch(Kernel, (7, 2), 128, arguments, 4096), [1, None, None, None, 0], enter)
    for x, y, stream in ((100, 200, 9), (300, 400, 0)):
        start([x, y], stream)
        call = driver.calls.pop()
        assert call["parameters"] == [y, table.data_ptr(), 2**32 - 3, 2**31 + 5, x]
        assert (call["grid"], call["block"], call["shared"]) == ([7, 2, 1], [128, 1, 1], 4096)
        assert (call["kernel"], call["stream"] or 0, call["attributes"]) == (0x1234, stream, [])


def test_clusters(driver: Driver) -> None:
    """The driver counts the grid in blocks."""
    start = pack(Launch(Kernel, (12,), 64, (1,), cluster=4), [None], enter)
    start([], 0)
    (call,) = driver.calls
    assert (call["grid"], call["attributes"]) == ([12, 1, 1], [(4, [4, 1, 1])])


def test_the_structures_are_those_of_the_driver() -> None:
    """Sizes and places in cuda.h of CUDA 12 and 13, on 64-bit machines."""
    assert ctypes.sizeof(packed._Attribute) == 72
    assert (packed._Config.stream.offset, ctypes.sizeof(packed._Config)) == (32, 56)


def test_an_error_is_raised(driver: Driver) -> None:
    driver.status = 700
    with pytest.raises(RuntimeError, match="cuLaunchKernelEx returned CUDA error 700"):
        pack(Launch(Kernel, (1,), 32, ()), [], enter)([], 0)


def test_a_thread_without_a_context_gets_one(driver: Driver) -> None:
    driver.status = 201

    def make_current() -> None:
        driver.status = 0

    pack(Launch(Kernel, (1,), 32, (None, 3)), [None, None], make_current)([], 0)
    assert [call["parameters"] for call in driver.calls] == [[0, 3], [0, 3]]

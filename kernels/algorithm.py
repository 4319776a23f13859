"""What an algorithm is: it accepts or declines a problem and makes a plan for it.

To add one, write a class with the `register` decorator in a module of `kernels/families/`, and describe it in a new
file in `conf/algorithm/`. Nothing else changes.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from .plan import Plan, UnsupportedError
from .problem import ConvProblem

if TYPE_CHECKING:
    import torch

    from .launch import KernelLibrary


class Algorithm(ABC):
    """An algorithm, named as in the results table. Instances hold parameters and no state.

    One class may be registered under several names, when its members differ by a parameter alone.
    """

    #: False for a ceiling that is not a convolution: only its `compute` is timed, under every protocol.
    is_convolution: ClassVar[bool] = True

    def __init__(self, name: str, parameters: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.parameters = dict(parameters or {})

    @abstractmethod
    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        """Allocate the workspace and choose the kernel for `problem`.

        `kernels` holds the compiled CUDA programs (None on the CPU backend). `tf32` allows TF32 arithmetic;
        with False every multiply and add is IEEE FP32.

        Raises UnsupportedError with the reason if the problem cannot be computed this way.
        """


def require_kernels(kernels: KernelLibrary | None) -> KernelLibrary:
    """`kernels`, or UnsupportedError where there are none: on the CPU backend."""
    if kernels is None:
        raise UnsupportedError("this algorithm is a CUDA kernel: it needs an NVIDIA GPU")
    return kernels


_REGISTRY: dict[str, type[Algorithm]] = {}


def register(name: str) -> Callable[[type[Algorithm]], type[Algorithm]]:
    """Class decorator: make the algorithm known under `name`, which its file in `conf/algorithm/` repeats."""

    def add(cls: type[Algorithm]) -> type[Algorithm]:
        if name in _REGISTRY:
            raise ValueError(f"two algorithms are registered as {name!r}")
        _REGISTRY[name] = cls
        return cls

    return add


def load(name: str, module: str, parameters: Mapping[str, Any] | None = None) -> Algorithm:
    """The algorithm registered as `name` in `module`.

    Raises KeyError, listing what the module registers, if it has none of that name.
    """
    importlib.import_module(module)
    if name not in _REGISTRY:
        known = sorted(key for key, cls in _REGISTRY.items() if cls.__module__ == module)
        raise KeyError(f"{module} registers no algorithm {name!r}; it has {', '.join(known) or 'none'}")
    return _REGISTRY[name](name, parameters)

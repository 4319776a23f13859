"""Convolution: the problem, what an algorithm and its plan are, the float64 reference, and launching kernels.

Installed from a checkout (`pip install .`) this package is called `im2win`, and has the convolution for PyTorch
models: `conv1d`, `conv2d`, `convert`, `restore`, `fuse`, `forget`. They are imported when they are asked for, since
planning needs no PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

#: Name -> the module that has it.
_EXPORTED = {
    **dict.fromkeys(("conv1d", "conv2d"), "operator"),
    **dict.fromkeys(("Conv1d", "Conv2d", "Conversion", "convert", "restore"), "modules"),
    "fuse": "fusion",
    "forget": "weights",
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.model.{_EXPORTED[name]}"), name)

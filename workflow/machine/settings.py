"""Variables that change what is measured: those a measuring process goes without, those it has, those recorded."""

from __future__ import annotations

import os
from collections.abc import Mapping

#: Variables that would spoil a measurement, each with what it does: a measuring process goes without them.
SPOILING = {
    "CUDA_LAUNCH_BLOCKING": "every launch waits for its kernel",
    "CUDA_DEVICE_MAX_CONNECTIONS": "streams share queues and wait for each other",
    "PYTORCH_NO_CUDA_MEMORY_CACHING": "every allocation waits for the device",
    "NVIDIA_TF32_OVERRIDE": "cuBLAS and cuDNN take TF32 or leave it, whatever is asked for",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "cuBLAS takes TF32, whatever is asked for",
    "TORCH_CUDNN_V8_API_DISABLED": "PyTorch asks another interface of cuDNN",
}
#: What the process of a grouped convolution has instead. cuDNN spreads one over streams of its own; with as many queues
#: as a device has, the stream on which the harness looks whether work began too early does not wait for them. Other
#: processes go without: on an H200 a process sets up in 1.7 s with 32 queues, in 0.4 s with the usual eight.
_OF_GROUPS = {"CUDA_DEVICE_MAX_CONNECTIONS": "32"}
#: What may change a number is recorded: variables whose names begin so.
_RECORDED = (
    "CUDA_",
    "CUDNN_",
    "CUBLAS",
    "NVIDIA_",
    "PYTORCH_",
    "TORCH_",
    "OMP_",
    "MKL_",
    "KMP_",
    "GOMP_",
    "LD_PRELOAD",
)
#: Not those: which GPU is measured on is recorded by its UUID.
_NOT_RECORDED = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")


def clean(environment: Mapping[str, str], groups: int = 1) -> dict[str, str]:
    """The variables of a process that measures a convolution of so many groups: without those that would spoil it."""
    kept = {name: value for name, value in environment.items() if name not in SPOILING}
    return kept | _OF_GROUPS if groups > 1 else kept


def spoiled_by(environment: Mapping[str, str]) -> str:
    """The variables that are set and would spoil a measurement, with what they do; nothing if there are none."""
    spoiling = [name for name in SPOILING if name in environment and environment[name] != _OF_GROUPS.get(name)]
    return "; ".join(f"{name}={environment[name]} ({SPOILING[name]})" for name in spoiling)


def settings() -> dict[str, str]:
    """The variables that may change a number and are set here; a value with a path in it is not told."""
    return {
        name: value if os.sep not in value else "(a path)"
        for name, value in sorted(os.environ.items())
        if name.startswith(_RECORDED) and name not in _NOT_RECORDED
    }

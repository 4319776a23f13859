"""Loads compiled CUDA programs and launches their kernels on PyTorch's current stream."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cuda.core import Device, LaunchConfig, ObjectCode, launch

from kernels.algorithm import UnsupportedError
from kernels.architectures import architecture_name
from kernels.compile import compile_program
from kernels.problem import FLOAT_BYTES, ConvProblem

#: Threads of a block, for kernels that leave the choice open.
THREADS = 256


class CubinError(Exception):
    """A compiled program is missing or damaged; the message names the file and the way out."""


class KernelLibrary:
    """The CUDA programs for one device: from a folder of cubins and reports, or compiled on first use."""

    def __init__(self, device: torch.device, folder: Path | None = None) -> None:
        """`folder` holds `<program>.cubin` and `<program>.json` as the workflow's compile rule writes them."""
        self._folder = folder
        self._architecture = architecture_name(*torch.cuda.get_device_capability(device))
        # cuda.core works in the context that PyTorch has made current.
        torch.cuda.init()
        self._device = Device(device.index or 0)
        self._device.set_current()
        self._programs: dict[str, tuple[ObjectCode, dict[str, str]]] = {}

    def kernel(self, program: str, expression: str) -> Any:
        """The kernel that `expression` (as in kernels.programs.PROGRAMS) names in `program`.

        Raises CubinError if the cubin or its report is missing or cannot be loaded.
        """
        if program not in self._programs:
            self._programs[program] = self._load(program)
        code, symbols = self._programs[program]
        return code.get_kernel(symbols[expression])

    def _load(self, program: str) -> tuple[ObjectCode, dict[str, str]]:
        """The loaded program, and its kernels' symbols by name expression."""
        if self._folder is None:
            cubin, report = compile_program(program, self._architecture)
        else:
            path = self._folder / f"{program}.cubin"
            try:
                cubin = path.read_bytes()
                report = json.loads(path.with_suffix(".json").read_text())
            except (OSError, ValueError) as error:
                raise CubinError(f"cannot read {path} and its report: {error}; delete both and run again") from error
        symbols = {kernel["expression"]: kernel["symbol"] for kernel in report["kernels"]}
        code = ObjectCode.from_cubin(cubin, name=program)
        try:
            code.get_kernel(next(iter(symbols.values())))
        except Exception as error:
            raise CubinError(
                f"the driver does not load {program}.cubin ({error}); it is damaged or made for another GPU: "
                "delete it and run again"
            ) from error
        return code, symbols

    def launch(self, kernel: Any, grid: tuple[int, ...], threads: int, *arguments: torch.Tensor | int) -> None:
        """Start `kernel` with `threads` threads a block. Tensors go as pointers, integers as 32-bit ones."""
        packed = [
            np.uint64(value.data_ptr()) if isinstance(value, torch.Tensor) else np.int32(value) for value in arguments
        ]
        stream = _stream(self._device.device_id, torch.cuda.current_stream().cuda_stream)
        launch(stream, LaunchConfig(grid=grid, block=(threads,)), kernel, *packed)


@cache
def _stream(device: int, handle: int) -> Any:
    """cuda.core's view of a PyTorch stream; made once per stream, since it costs microseconds."""

    class _Handle:
        def __cuda_stream__(self) -> tuple[int, int]:
            return (0, handle)

    return Device(device).create_stream(_Handle())


def problem_arguments(problem: ConvProblem) -> tuple[int, ...]:
    """The sizes in the order of PROBLEM_PARAMETERS in cuda/convolution.cuh.

    Raises UnsupportedError if a count that the kernels keep in 32 bits does not fit: pixels, rows of the window
    tensor, its values in one image, or values of the filter.
    """
    m, n, k = problem.gemm_shape
    rows = problem.batch * problem.in_channels * problem.out_height
    image_values = problem.window_tensor_bytes // FLOAT_BYTES // problem.batch
    if max(n, rows, image_values, problem.in_channels * problem.height * problem.width, 2 * m * k) >= 2**31:
        raise UnsupportedError("the problem has 2^31 or more of what the kernels count in 32 bits")
    return (
        problem.batch,
        problem.in_channels,
        problem.height,
        problem.width,
        problem.out_channels,
        problem.kernel_h,
        problem.kernel_w,
        problem.stride,
        problem.out_height,
        problem.out_width,
    )

"""CUTLASS's implicit GEMM whose FP32 products are three TF32 products each (OpMultiplyAddFastF32), on NHWC."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from cuda.bindings import driver
from cuda.core import ObjectCode

from ..algorithm import Algorithm, register
from ..build.architectures import architecture_name
from ..launch import KernelLibrary
from ..plan import Plan, UnsupportedError, take_only
from ..problem import FLOAT_BYTES, ConvProblem
from .cutlass_source import PARAMETER_BYTES, TILES, VECTOR, Tile, cubin_of, header_folders

#: CUTLASS's iterators have a bit for each row and each column of the filter.
_LONGEST_FILTER = 32


@dataclass(frozen=True)
class _Instance:
    """A loaded tile, and what its launch takes. `code` keeps it loaded."""

    code: ObjectCode
    kernel: Any
    parameters: Any
    grid: tuple[int, int]
    threads: int
    shared_bytes: int


class CutlassPlan(Plan):
    """X and F are converted to NHWC in `prepare`; `compute` convolves and converts Y back.

    Channels are padded with zeros to a multiple of VECTOR. Y has to be in NCHW when `compute` ends, so that its
    conversion is part of `kernel_only` too. Workspace: X, F and Y in NHWC. Raises UnsupportedError.
    """

    def __init__(self, problem: ConvProblem, device: torch.device) -> None:
        take_only(problem, padding=True, dilation=True)
        if max(problem.kernel_h, problem.kernel_w) > _LONGEST_FILTER:
            raise UnsupportedError(f"CUTLASS takes filters of at most {_LONGEST_FILTER} rows and columns")
        header_folders()
        padded = (
            nhwc_shape(problem.input_shape),
            nhwc_shape(problem.filter_shape, is_filter=True),
            nhwc_shape(problem.output_shape),
        )
        if max(math.prod(shape) for shape in padded) >= 2**31:
            raise UnsupportedError("a tensor has 2^31 or more values, which CUTLASS's coordinates do not reach")
        self._x, self._f, self._y = (torch.zeros(shape, device=device) for shape in padded)
        self.workspace_bytes = FLOAT_BYTES * sum(math.prod(shape) for shape in padded) + PARAMETER_BYTES
        self._parameters = torch.zeros(PARAMETER_BYTES, dtype=torch.uint8, device=device)
        self._problem = problem
        self._library = KernelLibrary(device)
        self._architecture = architecture_name(*torch.cuda.get_device_capability(device))
        self._instances: dict[Tile, _Instance] = {}
        self._tile = TILES[0]
        self._load(self._tile)

    @property
    def _has_few_channels(self) -> bool:
        return self._x.shape[-1] == VECTOR

    def _load(self, tile: Tile) -> None:
        """Load a tile and have its parameters made; waits for the device. Raises UnsupportedError if it is too big."""
        code = ObjectCode.from_cubin(cubin_of(tile, self._has_few_channels, self._architecture))
        facts = torch.zeros(5, dtype=torch.int32, device=self._x.device)
        tensors = (self._x, self._f, self._y, facts, self._parameters)
        sizes = problem_sizes(self._problem, self._x.shape, self._y.shape)
        self._library.launch(code.get_kernel("make_parameters"), (1,), 1, *sizes, *tensors)
        size, threads, shared_bytes, *grid = facts.tolist()
        kernel = code.get_kernel("convolve")
        self._library.allow_shared(kernel, shared_bytes)
        parameters = ctypes.create_string_buffer(bytes(self._parameters[:size].tolist()), size)
        self._instances[tile] = _Instance(code, kernel, parameters, (grid[0], grid[1]), threads, shared_bytes)

    def prepare(self, x: torch.Tensor, f: torch.Tensor) -> None:
        nchw(self._x, x.shape).copy_(x)
        nchw(self._f, f.shape).copy_(f)

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        one = self._instances[self._tile]
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(one.parameters))
        (status,) = driver.cuLaunchKernel(
            driver.CUfunction(int(one.kernel.handle)),
            *(*one.grid, 1),
            *(one.threads, 1, 1),
            one.shared_bytes,
            torch.cuda.current_stream().cuda_stream,
            ctypes.addressof(arguments),
            0,
        )
        if status != driver.CUresult.CUDA_SUCCESS:
            raise RuntimeError(f"cuLaunchKernel: {status.name}")
        y.copy_(nchw(self._y, y.shape))

    def autotune(
        self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, time: Callable[[Callable[[], None]], float]
    ) -> None:
        compile_one = partial(cubin_of, few_channels=self._has_few_channels, architecture=self._architecture)
        with ThreadPoolExecutor(len(TILES)) as pool:
            list(pool.map(compile_one, TILES))
        times = {}
        for tile in TILES:
            try:
                self._load(tile)
            except UnsupportedError:  # more shared memory than a block can have on this GPU
                continue
            self._tile = tile
            self.run(x, f, y)
            times[tile] = time(lambda: self.compute(x, f, y))
        self._tile = min(times, key=times.__getitem__)


def nhwc_shape(shape: Sequence[int], is_filter: bool = False) -> tuple[int, ...]:
    """Sizes in memory of a tensor of shape (N, C, H, W); a filter's N is padded too, as it is Y's C."""
    n, c, h, w = shape
    return (_padded(n) if is_filter else n, h, w, _padded(c))


def _padded(channels: int) -> int:
    return -(-channels // VECTOR) * VECTOR


def nchw(tensor: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """The part of an NHWC tensor that is no padding, as a view of shape (N, C, H, W)."""
    return tensor[: shape[0], :, :, : shape[1]].permute(0, 3, 1, 2)


def problem_sizes(problem: ConvProblem, x: Sequence[int], y: Sequence[int]) -> tuple[int, ...]:
    """The integers that `make_parameters` takes; X and Y have these sizes in memory.

    Of the padding CUTLASS is told what is above and to the left: how much lies behind follows from Y's sizes.
    """
    p = problem
    return (
        *x,
        *(y[3], p.kernel_h, p.kernel_w, p.out_height, p.out_width),
        *(p.rows.before, p.columns.before, *p.stride, *p.dilation),
    )


@register("cutlass_3xtf32")
class Cutlass3xTf32(Algorithm):
    """CUTLASS's convolution as its library offers it for FP32 on tensor cores, the fastest of a few tiles."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        if device.type != "cuda":
            raise UnsupportedError("this algorithm is a CUDA kernel of CUTLASS: it needs an NVIDIA GPU")
        return CutlassPlan(problem, device)

"""An implicit GEMM in Triton, whose tensor-core products are emulated FP32: tl.dot(..., input_precision="tf32x3")."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from ..algorithm import Algorithm, register
from ..plan import Plan, UnsupportedError, take_only
from ..problem import ConvProblem

if TYPE_CHECKING:
    from ..launch import KernelLibrary

try:
    import triton
    import triton.language as tl
except ImportError:  # it comes with PyTorch's CUDA build alone
    triton = None


@dataclass(frozen=True)
class Tile:
    """Output channels and pixels of a block, values of the reduction a step; warps, and stages of the pipeline."""

    channels: int
    pixels: int
    step: int
    warps: int
    stages: int


#: The first one fits every GPU, and runs until `autotune` has chosen.
TILES = (
    Tile(64, 64, 32, 4, 3),
    Tile(128, 64, 32, 4, 3),
    Tile(64, 128, 32, 4, 3),
    Tile(128, 128, 16, 8, 4),
    Tile(128, 128, 32, 8, 3),
    Tile(64, 256, 32, 8, 3),
)
#: Sizes of which Triton makes no instance of their own where they are 1 or divisible by 16: that of the reduction alone
#: decides how wide F can be read.
_ANY_SIZE = ("pixels", "channels", "in_channels", "height", "width", "out_height", "out_width")


def _convolve(  # type: ignore[no-untyped-def]  # Triton looks annotations up, and takes its own alone
    x,
    f,
    y,
    pixels,
    channels,
    reduction,
    in_channels,
    height,
    width,
    out_height,
    out_width,
    KERNEL_H: tl.constexpr,
    KERNEL_W: tl.constexpr,
    STRIDE_H: tl.constexpr,
    STRIDE_W: tl.constexpr,
    ABOVE: tl.constexpr,
    LEFT: tl.constexpr,
    DILATION_H: tl.constexpr,
    DILATION_W: tl.constexpr,
    PADDED: tl.constexpr,
    TILE_M: tl.constexpr,
    TILE_N: tl.constexpr,
    TILE_K: tl.constexpr,
):
    """One tile of Y = F * windows of X. Neighbouring blocks share the pixels, so that X comes from the L2 cache.

    Written for Triton's compiler. With tf32x3 it sums each step from zero, corrections first, and adds that in FP32.
    """
    tiles_m = tl.cdiv(channels, TILE_M)
    m = tl.program_id(0) % tiles_m * TILE_M + tl.arange(0, TILE_M)
    n = tl.program_id(0) // tiles_m * TILE_N + tl.arange(0, TILE_N)
    image = (n // (out_height * out_width)).to(tl.int64)
    place = n % (out_height * out_width)
    row = place // out_width * STRIDE_H - ABOVE
    column = place % out_width * STRIDE_W - LEFT
    window = x + image * (in_channels * height * width) + row * width + column
    total = tl.zeros((TILE_M, TILE_N), tl.float32)
    for first in range(0, reduction, TILE_K):
        k = first + tl.arange(0, TILE_K)
        u = k % (KERNEL_H * KERNEL_W) // KERNEL_W * DILATION_H
        v = k % KERNEL_W * DILATION_W
        offset = k // (KERNEL_H * KERNEL_W) * (height * width) + u * width + v
        inside = (k < reduction)[:, None] & (n < pixels)[None, :]
        if PADDED:
            rows, columns = row[None, :] + u[:, None], column[None, :] + v[:, None]
            inside = inside & (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        values = tl.load(window[None, :] + offset[:, None], mask=inside, other=0.0)
        there = (m < channels)[:, None] & (k < reduction)[None, :]
        weights = tl.load(f + m[:, None] * reduction + k[None, :], mask=there, other=0.0)
        total = tl.dot(weights, values, total, input_precision="tf32x3")
    output = y + image * (channels * out_height * out_width) + place
    whole = (m < channels)[:, None] & (n < pixels)[None, :]
    tl.store(output[None, :] + m[:, None] * (out_height * out_width), total, mask=whole)


@cache
def _kernel() -> Any:
    return triton.jit(_convolve, do_not_specialize=list(_ANY_SIZE))


class TritonPlan(Plan):
    """Takes no workspace: windows are gathered from X, and Y is written in NCHW. Raises UnsupportedError."""

    def __init__(self, problem: ConvProblem) -> None:
        take_only(problem, padding=True, dilation=True)
        if triton is None:
            raise UnsupportedError("Triton is not installed: it comes with PyTorch's CUDA build")
        channels, pixels, reduction = problem.gemm_shape
        image = problem.in_channels * problem.rows.padded * problem.columns.padded
        if max(image, channels * reduction, pixels, channels * problem.out_height * problem.out_width) >= 2**31:
            raise UnsupportedError("it is too large for the 32-bit offsets of this kernel in Triton")
        self._pixels, self._channels = pixels, channels
        sizes = (problem.in_channels, problem.height, problem.width, problem.out_height, problem.out_width)
        (above, _), (left, _) = problem.padding
        window = (problem.kernel_h, problem.kernel_w, *problem.stride, above, left, *problem.dilation)
        self._arguments = (pixels, channels, reduction, *sizes, *window, problem.is_padded)
        self._tile = TILES[0]

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        tile = self._tile
        blocks = -(-self._channels // tile.channels) * -(-self._pixels // tile.pixels)
        sizes = (tile.channels, tile.pixels, tile.step)
        _kernel()[(blocks,)](x, f, y, *self._arguments, *sizes, num_warps=tile.warps, num_stages=tile.stages)

    def autotune(
        self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, time: Callable[[Callable[[], None]], float]
    ) -> None:
        times = {}
        for tile in TILES:
            self._tile = tile
            try:
                self.run(x, f, y)
            except triton.OutOfResources:  # of this GPU's shared memory or registers
                continue
            times[tile] = time(lambda: self.run(x, f, y))
        self._tile = min(times, key=times.__getitem__)


@register("triton_tf32x3")
class TritonTf32x3(Algorithm):
    """A plain implicit GEMM as a user of Triton would write it, the fastest of a few tiles."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        if device.type != "cuda":
            raise UnsupportedError("this algorithm is a kernel in Triton: it needs an NVIDIA GPU")
        return TritonPlan(problem)

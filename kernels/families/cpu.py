"""The CPU backend: the same families of algorithms in PyTorch operations, for machines without a GPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from ..algorithm import Algorithm, register
from ..plan import Plan, UnsupportedError, take_only
from ..problem import FLOAT_BYTES, Axis, ConvProblem
from ..reference import pad
from .library import LibraryPlan

if TYPE_CHECKING:
    from ..launch import KernelLibrary


class CpuPlan(Plan):
    """What the plans of this module share: a workspace that PyTorch allocates as it goes.

    Its bytes are those of the tensors that the algorithm is made of, X with its padding written out among them; not
    those that PyTorch's operations take for themselves.
    """

    def __init__(self, problem: ConvProblem) -> None:
        self.problem = problem
        self.workspace_bytes: int = FLOAT_BYTES * _padded_values(problem) if problem.is_padded else 0


def _padded_values(problem: ConvProblem) -> int:
    """Values of X with its padding written out."""
    return problem.batch * problem.in_channels * problem.rows.padded * problem.columns.padded


def _split(problem: ConvProblem, tensor: torch.Tensor, dimension: int) -> torch.Tensor:
    """The tensor, its channels in that dimension split into [groups][channels of a group]; a view."""
    return tensor.unflatten(dimension, (problem.groups, -1))


class DirectPlan(CpuPlan):
    """One multiply-add of whole planes per filter tap; no tensor is rearranged."""

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        p = self.problem
        padded, filters, outputs = _split(p, pad(p, x), 1), _split(p, f, 0), _split(p, y, 1)
        y.zero_()
        for u in range(p.kernel_h):
            for v in range(p.kernel_w):
                plane = padded[..., _met_by(p.rows, u), _met_by(p.columns, v)]
                outputs += torch.einsum("ngchw,goc->ngohw", plane, filters[..., u, v])


def _met_by(axis: Axis, tap: int) -> slice:
    """The elements of a padded direction that a tap of the filter meets, one for each output."""
    first = tap * axis.dilation
    return slice(first, first + (axis.outputs - 1) * axis.stride + 1, axis.stride)


class Im2colPlan(CpuPlan):
    """The column matrix of all images, then one product per image and group."""

    def __init__(self, problem: ConvProblem) -> None:
        super().__init__(problem)
        _, n, k = problem.gemm_shape
        self.workspace_bytes += FLOAT_BYTES * problem.groups * n * k

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        p = self.problem
        columns = functional.unfold(pad(p, x), (p.kernel_h, p.kernel_w), dilation=p.dilation, stride=p.stride)
        filters, outputs = _split(p, f, 0).flatten(2), _split(p, y, 1).flatten(3)  # [g][o][k] and [n][g][o][pixel]
        torch.matmul(filters, _split(p, columns, 1), out=outputs)


class Im2winPlan(CpuPlan):
    """The window tensor I[n][c][ho][w * Hf + u] (paper, section 3.1), convolved one output column at a time.

    The windows of neighbouring columns overlap in I, so a column's windows are a slice and nothing is copied twice.
    """

    def __init__(self, problem: ConvProblem) -> None:
        super().__init__(problem)
        self.workspace_bytes += problem.window_tensor_bytes + FLOAT_BYTES * math.prod(problem.filter_shape)

    def prepare(self, x: torch.Tensor, f: torch.Tensor) -> None:
        self.window = im2win_transform(x, self.problem)
        self.filter = _split(self.problem, f.transpose(2, 3), 0).flatten(2)  # [g][o][c * window]

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        p, columns = self.problem, self.problem.columns
        window = _split(p, self.window.unflatten(3, (columns.padded, p.kernel_h)), 1)  # [n][g][c][ho][w][u]
        outputs = _split(p, y, 1)
        for column in range(p.out_width):
            start = column * columns.stride
            # [n][g][c][ho][v][u] -> [n][g][ho][c * window]
            windows = window[..., start : start + columns.reach : columns.dilation, :].transpose(2, 3).flatten(3)
            outputs[..., column] = torch.matmul(self.filter, windows.transpose(2, 3))


def im2win_transform(x: torch.Tensor, problem: ConvProblem) -> torch.Tensor:
    """The window tensor, shape `problem.window_tensor_shape`.

    I[n][c][ho][w * Hf + u] = X[n][c][ho * stride + u * dilation][w], with the rows' stride and dilation, and X with its
    padding. What dilation leaves out between a window's columns is skipped when the windows are read.
    """
    rows = problem.rows
    windows = pad(problem, x).unfold(2, rows.reach, rows.stride)  # [n][c][ho][w][row], a view
    return windows[..., :: rows.dilation].reshape(problem.window_tensor_shape)


class FftPlan(CpuPlan):
    """The product of the spectra of F and of overlapping tiles of X (overlap-save), no larger than TILE a side.

    A tile's correlation with the filter is right where the filter stays inside the tile, so neighbouring tiles
    overlap by a filter less one. The workspace is that of X, padded to whole tiles, and of the three spectra.
    """

    TILE = 32

    def __init__(self, problem: ConvProblem) -> None:
        super().__init__(problem)
        take_only(problem, padding=True, groups=True)
        p = problem
        sizes = (p.rows.padded, p.columns.padded)
        self.tile = (min(self.TILE, sizes[0]), min(self.TILE, sizes[1]))
        self.step = (self.tile[0] - p.kernel_h + 1, self.tile[1] - p.kernel_w + 1)
        if min(self.step) < 1:
            raise UnsupportedError(f"the filter is larger than a tile of {self.TILE} x {self.TILE}")
        # Tiles that cover every output of stride 1.
        self.tiles = (-(-(sizes[0] - p.kernel_h + 1) // self.step[0]), -(-(sizes[1] - p.kernel_w + 1) // self.step[1]))
        self.covered = [
            (count - 1) * by + size for count, by, size in zip(self.tiles, self.step, self.tile, strict=True)
        ]
        spectrum = self.tile[0] * (self.tile[1] // 2 + 1)
        tiles = p.batch * self.tiles[0] * self.tiles[1]
        spectra = tiles * (p.in_channels + p.out_channels) + p.out_channels * p.group_in_channels
        padded = p.batch * p.in_channels * self.covered[0] * self.covered[1]
        self.workspace_bytes = FLOAT_BYTES * (padded + 2 * spectrum * spectra)

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        p, step = self.problem, self.step
        (above, _), (left, _) = p.padding
        right, below = self.covered[1] - left - p.width, self.covered[0] - above - p.height
        padded = functional.pad(x, (left, right, above, below))
        tiles = padded.unfold(2, self.tile[0], step[0]).unfold(3, self.tile[1], step[1])  # [n][c][i][j][h][w]
        # Convolution layers correlate, so the filter's spectrum is conjugated.
        filters = torch.fft.rfft2(f, s=self.tile).conj()
        products = torch.einsum("ngcijhw,gochw->ngoijhw", _split(p, torch.fft.rfft2(tiles), 1), _split(p, filters, 0))
        spectra = products.flatten(1, 2)
        outputs = torch.fft.irfft2(spectra, s=self.tile)[..., : step[0], : step[1]]
        full = outputs.transpose(3, 4).reshape(
            p.batch, p.out_channels, self.tiles[0] * step[0], self.tiles[1] * step[1]
        )
        rows, columns = (p.out_height - 1) * p.rows.stride + 1, (p.out_width - 1) * p.columns.stride + 1
        y.copy_(full[:, :, : rows : p.rows.stride, : columns : p.columns.stride])


class TorchPlan(LibraryPlan):
    """PyTorch's own convolution, whatever library it chooses."""

    workspace_bytes = None

    def __init__(self, problem: ConvProblem) -> None:
        super().__init__(problem, torch.device("cpu"))

    def _convolve(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        p = self._problem
        y.copy_(functional.conv2d(x, f, None, p.stride, self._padding, p.dilation, p.groups))


_PLANS: dict[str, Callable[[ConvProblem], Plan]] = {
    "cpu_direct": DirectPlan,
    "cpu_im2col": Im2colPlan,
    "cpu_im2win": Im2winPlan,
    "cpu_fft": FftPlan,
    "cpu_torch": TorchPlan,
}


class CpuAlgorithm(Algorithm):
    """A family of algorithms on the CPU, in PyTorch operations; registered once under each name."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        return _PLANS[self.name](problem)


for _name in _PLANS:
    register(_name)(CpuAlgorithm)

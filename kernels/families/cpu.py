"""The CPU backend: the same families of algorithms in PyTorch operations, for machines without a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from kernels.algorithm import Algorithm, register
from kernels.plan import Plan, UnsupportedError
from kernels.problem import FLOAT_BYTES, ConvProblem

if TYPE_CHECKING:
    from kernels.launch import KernelLibrary


class CpuPlan(Plan):
    """What all plans of this module share: the problem, and a workspace that PyTorch allocates as it goes."""

    def __init__(self, problem: ConvProblem) -> None:
        self.problem = problem


class DirectPlan(CpuPlan):
    """One multiply-add of whole planes per filter tap; no tensor is rearranged."""

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        p = self.problem
        y.zero_()
        for u in range(p.kernel_h):
            for v in range(p.kernel_w):
                rows = slice(u, u + (p.out_height - 1) * p.rows.stride + 1, p.rows.stride)
                columns = slice(v, v + (p.out_width - 1) * p.columns.stride + 1, p.columns.stride)
                y += torch.einsum("nchw,oc->nohw", x[:, :, rows, columns], f[:, :, u, v])


class Im2colPlan(CpuPlan):
    """The column matrix of all images, then one product per image."""

    def __init__(self, problem: ConvProblem) -> None:
        super().__init__(problem)
        _, n, k = problem.gemm_shape
        self.workspace_bytes = FLOAT_BYTES * n * k

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        p = self.problem
        columns = functional.unfold(x, (p.kernel_h, p.kernel_w), stride=p.stride)
        torch.matmul(f.view(p.out_channels, -1), columns, out=y.view(p.batch, p.out_channels, -1))


class Im2winPlan(CpuPlan):
    """The window tensor I[n][c][ho][w * Hf + u] (paper, section 3.1), convolved one output column at a time.

    The windows of neighbouring columns overlap in I, so a column's windows are a slice and nothing is copied twice.
    """

    def __init__(self, problem: ConvProblem) -> None:
        super().__init__(problem)
        self.workspace_bytes = problem.window_tensor_bytes + FLOAT_BYTES * problem.out_channels * problem.gemm_shape[2]

    def prepare(self, x: torch.Tensor, f: torch.Tensor) -> None:
        self.window = im2win_transform(x, self.problem)
        self.filter = f.transpose(2, 3).reshape(self.problem.out_channels, -1)

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        p = self.problem
        window_values = p.kernel_h * p.kernel_w
        for column in range(p.out_width):
            start = column * p.columns.stride * p.kernel_h
            # [n][c][ho][window] -> [n][ho][c * window]
            windows = self.window[..., start : start + window_values].transpose(1, 2).flatten(2)
            y[..., column] = torch.matmul(self.filter, windows.transpose(1, 2))


def im2win_transform(x: torch.Tensor, problem: ConvProblem) -> torch.Tensor:
    """The window tensor I[n][c][ho][w * Hf + u] = X[n][c][ho * s + u][w], shape `problem.window_tensor_shape`."""
    rows = x.unfold(2, problem.kernel_h, problem.rows.stride)  # [n][c][ho][w][u], a view
    return rows.reshape(problem.window_tensor_shape)


class FftPlan(CpuPlan):
    """The product of the spectra of F and of overlapping tiles of X (overlap-save), no larger than TILE a side.

    A tile's correlation with the filter is right where the filter stays inside the tile, so neighbouring tiles
    overlap by a filter less one. The workspace is that of the three spectra.
    """

    TILE = 32

    def __init__(self, problem: ConvProblem) -> None:
        super().__init__(problem)
        p = problem
        self.tile = (min(self.TILE, p.height), min(self.TILE, p.width))
        self.step = (self.tile[0] - p.kernel_h + 1, self.tile[1] - p.kernel_w + 1)
        if min(self.step) < 1:
            raise UnsupportedError(f"the filter is larger than a tile of {self.TILE} x {self.TILE}")
        # Tiles that cover every output of stride 1.
        self.tiles = (-(-(p.height - p.kernel_h + 1) // self.step[0]), -(-(p.width - p.kernel_w + 1) // self.step[1]))
        spectrum = self.tile[0] * (self.tile[1] // 2 + 1)
        tiles = p.batch * self.tiles[0] * self.tiles[1]
        spectra = tiles * (p.in_channels + p.out_channels) + p.out_channels * p.in_channels
        self.workspace_bytes = 2 * FLOAT_BYTES * spectrum * spectra

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        p, step = self.problem, self.step
        covered = [(count - 1) * by + size for count, by, size in zip(self.tiles, step, self.tile, strict=True)]
        padded = functional.pad(x, (0, covered[1] - p.width, 0, covered[0] - p.height))
        tiles = padded.unfold(2, self.tile[0], step[0]).unfold(3, self.tile[1], step[1])  # [n][c][i][j][h][w]
        # Convolution layers correlate, so the filter's spectrum is conjugated.
        filters = torch.fft.rfft2(f, s=self.tile).conj()
        spectra = torch.einsum("ncijhw,ochw->noijhw", torch.fft.rfft2(tiles), filters)
        outputs = torch.fft.irfft2(spectra, s=self.tile)[..., : step[0], : step[1]]
        full = outputs.transpose(3, 4).reshape(
            p.batch, p.out_channels, self.tiles[0] * step[0], self.tiles[1] * step[1]
        )
        rows, columns = (p.out_height - 1) * p.rows.stride + 1, (p.out_width - 1) * p.columns.stride + 1
        y.copy_(full[:, :, : rows : p.rows.stride, : columns : p.columns.stride])


class TorchPlan(CpuPlan):
    """PyTorch's own convolution, whatever library it chooses."""

    workspace_bytes = None

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        y.copy_(functional.conv2d(x, f, stride=self.problem.stride))


_PLANS: dict[str, type[CpuPlan]] = {
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

"""cuBLAS: PyTorch's GEMM-based convolution, and the matrix product alone as a ceiling."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from ..algorithm import Algorithm, register
from ..plan import Plan, UnsupportedError
from ..problem import FLOAT_BYTES, ConvProblem
from ..reference import pad
from .library import LibraryPlan

if TYPE_CHECKING:
    from ..launch import KernelLibrary


@contextmanager
def cublas_precision(tf32: bool) -> Iterator[None]:
    """cuBLAS computes FP32 products in TF32 inside this context if `tf32`, strictly in FP32 otherwise."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


class Im2colCublasPlan(LibraryPlan):
    """What torch.conv2d calls on a GPU once cuDNN is switched off (aten/src/ATen/native/Convolution.cpp of PyTorch).

    PyTorch allocates the workspace itself: one image's column matrix, Cin * Hf * Wf x Ho * Wo values, and with groups
    each group's inputs and outputs.
    """

    workspace_bytes = None

    def __init__(self, problem: ConvProblem, device: torch.device, tf32: bool) -> None:
        super().__init__(problem, device)
        self._tf32 = tf32

    def _convolve(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        p = self._problem
        with cublas_precision(self._tf32):
            if p.groups == 1:
                self._convolve_group(x, f, y)
                return
            groups = zip(x.split(p.group_in_channels, 1), f.split(p.group_out_channels), strict=True)
            shape = (p.batch, p.group_out_channels, p.out_height, p.out_width)
            outputs = []
            for group_x, group_f in groups:
                outputs.append(torch.empty(shape, device=y.device))
                self._convolve_group(group_x.contiguous(), group_f, outputs[-1])
            torch.cat(outputs, 1, out=y)

    def _convolve_group(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        """Called by name, these write into Y itself; with dilation PyTorch computes into a new tensor and copies it."""
        p = self._problem
        window, stride, padding = [p.kernel_h, p.kernel_w], list(p.stride), list(self._padding)
        if p.dilation == (1, 1):
            torch.ops.aten.thnn_conv2d.out(x, f, window, None, stride, padding, out=y)
        else:
            torch.ops.aten.slow_conv_dilated2d.out(x, f, window, None, stride, padding, list(p.dilation), out=y)


@register("im2col_cublas")
class Im2colCublas(Algorithm):
    """PyTorch's GEMM-based convolution: im2col and one cuBLAS product per image (the paper's cuBLAS baseline)."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        if problem.is_depthwise:
            raise UnsupportedError("PyTorch computes a depthwise convolution without im2col, by a kernel of its own")
        return Im2colCublasPlan(problem, device, tf32)


class GemmCeilingPlan(Plan):
    """One product for each group, all of them in one call.

    Workspace: the full column matrices, groups x K x (batch * Ho * Wo), and the products, Cout x (batch * Ho * Wo).
    """

    def __init__(self, problem: ConvProblem, device: torch.device, tf32: bool) -> None:
        m, n, k = problem.gemm_shape
        self._problem = problem
        self._tf32 = tf32
        self._columns = torch.empty((problem.groups, k, n), device=device)
        self._product = torch.empty((problem.groups, problem.group_out_channels, n), device=device)
        self.workspace_bytes = FLOAT_BYTES * (problem.groups * k * n + m * n)

    def prepare(self, x: torch.Tensor, f: torch.Tensor) -> None:
        p = self._problem
        per_image = self._columns.view(-1, p.batch, p.out_height * p.out_width)
        for image in range(p.batch):
            padded = pad(p, x[image : image + 1])
            columns = functional.unfold(padded, (p.kernel_h, p.kernel_w), dilation=p.dilation, stride=p.stride)
            per_image[:, image] = columns[0]

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        groups = self._columns.shape[0]
        with cublas_precision(self._tf32):
            # PyTorch multiplies a batch of one as a single product.
            torch.bmm(f.view(groups, -1, self._columns.shape[1]), self._columns, out=self._product)

    def run(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self.prepare(x, f)
        self.compute(x, f, y)
        # The product's columns run over the images, Y's channels lie inside an image. Only verified, never timed.
        y.copy_(self._product.view(y.shape[1], y.shape[0], y.shape[2], y.shape[3]).transpose(0, 1))


@register("cublas_gemm_ceiling")
class GemmCeiling(Algorithm):
    """cuBLAS on the ready-made matrices of the same shape: not a convolution, but the practical ceiling of one."""

    is_convolution = False

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        return GemmCeilingPlan(problem, device, tf32)

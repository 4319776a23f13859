"""cuBLAS: PyTorch's GEMM-based convolution, and the matrix product alone as a ceiling."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from kernels.algorithm import Algorithm, register
from kernels.plan import Plan
from kernels.problem import FLOAT_BYTES, ConvProblem

if TYPE_CHECKING:
    from kernels.launch import KernelLibrary


@contextmanager
def cublas_precision(tf32: bool) -> Iterator[None]:
    """cuBLAS computes FP32 products in TF32 inside this context if `tf32`, strictly in FP32 otherwise."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


class Im2colCublasPlan(Plan):
    """PyTorch allocates the workspace itself: one image's column matrix, Cin * Hf * Wf x Ho * Wo values."""

    workspace_bytes = None

    def __init__(self, problem: ConvProblem, tf32: bool) -> None:
        self._problem = problem
        self._tf32 = tf32

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        p = self._problem
        # What torch.conv2d calls on a GPU once cuDNN is switched off; called by name, it writes into Y itself.
        with cublas_precision(self._tf32):
            torch.ops.aten.thnn_conv2d.out(x, f, [p.kernel_h, p.kernel_w], None, list(p.stride), [0, 0], out=y)


@register("im2col_cublas")
class Im2colCublas(Algorithm):
    """PyTorch's GEMM-based convolution: im2col and one cuBLAS product per image (the paper's cuBLAS baseline)."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        return Im2colCublasPlan(problem, tf32)


class GemmCeilingPlan(Plan):
    """Workspace: the full column matrix, K x (batch * Ho * Wo), and the product, Cout x (batch * Ho * Wo)."""

    def __init__(self, problem: ConvProblem, device: torch.device, tf32: bool) -> None:
        m, n, k = problem.gemm_shape
        self._problem = problem
        self._tf32 = tf32
        self._columns = torch.empty((k, n), device=device)
        self._product = torch.empty((m, n), device=device)
        self.workspace_bytes = FLOAT_BYTES * (k * n + m * n)

    def prepare(self, x: torch.Tensor, f: torch.Tensor) -> None:
        p = self._problem
        per_image = self._columns.view(self._columns.shape[0], p.batch, -1)
        for image in range(p.batch):
            per_image[:, image] = functional.unfold(x[image : image + 1], (p.kernel_h, p.kernel_w), stride=p.stride)[0]

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        with cublas_precision(self._tf32):
            torch.mm(f.view(f.shape[0], -1), self._columns, out=self._product)

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

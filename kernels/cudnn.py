"""cuDNN's forward algorithms one by one, and the one that PyTorch's autotuner chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from kernels.algorithm import Algorithm, Plan, UnsupportedError, register
from kernels.cudnn_library import FORWARD_ALGORITHMS, Convolution, CudnnError
from kernels.problem import ConvProblem

if TYPE_CHECKING:
    from kernels.launch import KernelLibrary


class CudnnPlan(Plan):
    """Workspace: what cuDNN asks for, byte for byte."""

    def __init__(self, problem: ConvProblem, device: torch.device, algorithm: int, tf32: bool) -> None:
        self._algorithm = algorithm
        try:
            self._convolution = Convolution(
                problem.input_shape, problem.filter_shape, problem.output_shape, problem.stride, tf32
            )
            self.workspace_bytes = self._convolution.workspace_bytes(algorithm)
        except OSError as error:
            raise UnsupportedError(str(error)) from error
        except CudnnError as error:
            raise _as_unsupported(error) from error
        self._workspace = torch.empty(self.workspace_bytes, dtype=torch.uint8, device=device)

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        try:
            self._convolution.forward(self._algorithm, x, f, y, self._workspace)
        except CudnnError as error:  # some problems are declined only when they are run
            raise _as_unsupported(error) from error


def _as_unsupported(error: CudnnError) -> Exception:
    return UnsupportedError(str(error)) if error.not_supported else error


class CudnnAlgorithm(Algorithm):
    """One of cuDNN's seven forward algorithms, by its enumerator; registered once under each name."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        return CudnnPlan(problem, device, FORWARD_ALGORITHMS[self.name], tf32)


for _name in FORWARD_ALGORITHMS:
    register(_name)(CudnnAlgorithm)


class AutotunedPlan(Plan):
    """PyTorch tries cuDNN's engines on the first run, keeps the fastest and allocates its workspace."""

    workspace_bytes = None

    def __init__(self, problem: ConvProblem, tf32: bool) -> None:
        self._stride = problem.stride
        self._tf32 = tf32
        torch.backends.cudnn.benchmark_limit = 0  # try every engine, not only the first ten

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        # What torch.conv2d calls; called by name, it writes into Y itself.
        torch.ops.aten.cudnn_convolution.out(
            x,
            f,
            padding=[0, 0],
            stride=[self._stride, self._stride],
            dilation=[1, 1],
            groups=1,
            benchmark=True,
            deterministic=False,
            allow_tf32=self._tf32,
            out=y,
        )


@register("cudnn_autotuned")
class CudnnAutotuned(Algorithm):
    """The algorithm that PyTorch's autotuner (`torch.backends.cudnn.benchmark`) finds fastest."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        if not torch.backends.cudnn.is_available():
            raise UnsupportedError("this PyTorch has no cuDNN")
        return AutotunedPlan(problem, tf32)

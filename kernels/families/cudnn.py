"""cuDNN's forward algorithms one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..algorithm import Algorithm, register
from ..plan import Plan, UnsupportedError
from ..problem import ConvProblem
from .cudnn_library import FORWARD_ALGORITHMS, Convolution, CudnnError
from .library import LibraryPlan

if TYPE_CHECKING:
    from ..launch import KernelLibrary


class CudnnPlan(LibraryPlan):
    """Workspace: what cuDNN asks for, byte for byte, and X with its padding where that has to be written out."""

    def __init__(self, problem: ConvProblem, device: torch.device, algorithm: int, tf32: bool) -> None:
        super().__init__(problem, device)
        self._algorithm = algorithm
        try:
            self._convolution = Convolution(self._problem, tf32)
        except OSError as error:
            raise UnsupportedError(str(error)) from error
        except CudnnError as error:
            raise _as_unsupported(error) from error
        try:
            workspace_bytes = self._convolution.workspace_bytes(algorithm)
        except CudnnError as error:
            self.close()
            raise _as_unsupported(error) from error
        self.workspace_bytes = workspace_bytes + self._padded_bytes
        self._workspace = torch.empty(workspace_bytes, dtype=torch.uint8, device=device)

    def _convolve(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        try:
            self._convolution.forward(self._algorithm, x, f, y, self._workspace)
        except CudnnError as error:  # some problems are declined only when they are run
            raise _as_unsupported(error) from error

    def close(self) -> None:
        self._convolution.close()


def _as_unsupported(error: CudnnError) -> Exception:
    return UnsupportedError(str(error)) if error.not_supported else error


class CudnnAlgorithm(Algorithm):
    """One of cuDNN's seven forward algorithms, by its enumerator; registered once under each name."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        return CudnnPlan(problem, device, FORWARD_ALGORITHMS[self.name], tf32)


for _name in FORWARD_ALGORITHMS:
    register(_name)(CudnnAlgorithm)

"""A plan whose main kernel starts before what `prepare` has launched has ended (cuda/overlap.cuh)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from kernels.algorithm import Plan

if TYPE_CHECKING:
    import torch


class OverlappingPlan(Plan):
    """`prepare` launches kernels of ours, and `_multiply` one that may overlap with the last of them."""

    #: Whether overlapping pays for this plan (KernelLibrary.fills), and there is something to overlap with.
    _overlaps: bool

    @abstractmethod
    def _multiply(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, overlap: bool) -> None:
        """What `compute` does, `overlap` as in KernelLibrary.launch."""

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self._multiply(x, f, y, overlap=False)

    def run(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self.prepare(x, f)
        self._multiply(x, f, y, overlap=self._overlaps)

"""The operator's way to the kernels on the CPU: recorded launches of emulated kernels."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from kernels.algorithm import Algorithm
from kernels.families.im2win import TiledPlan
from kernels.families.im2win_grouped import GroupedPlan
from kernels.families.im2win_tensor_core import TensorCorePlan
from kernels.families.im2win_tensor_core_winograd import WinogradTensorCorePlan
from kernels.families.im2win_winograd import WinogradPlan
from kernels.launch import KernelLibrary
from kernels.model import dispatch, eager
from kernels.plan import Plan, UnsupportedError
from kernels.problem import ConvProblem
from kernels.tiles.tensor_core_sliding import SLIDING_TILES
from kernels.tiles.tensor_core_winograd import WINOGRAD_TILES
from kernels.tiles.tiled import TILES, Schedule, fused
from tests.emulation.launch import EmulatedLibrary

TILES_OF = {
    "tensor core": SLIDING_TILES[2],
    "windows in memory": next(tile for tile in SLIDING_TILES if tile.windows_in_memory),
}
WINOGRAD_IN_MEMORY = next(tile for tile in WINOGRAD_TILES if tile.windows_in_memory)


class Emulated(Algorithm):
    """One tile of a family, in two parts where partial results are to be summed."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        assert kernels is not None
        if problem.batch == 13:
            raise UnsupportedError("it takes no batch of 13")
        if self.name in TILES_OF:
            tile = TILES_OF[self.name]
            return TensorCorePlan(problem, device, kernels, tile, min(2, tile.k_blocks(problem)))
        if self.name == "winograd in memory":
            return WinogradTensorCorePlan(problem, device, kernels, WINOGRAD_IN_MEMORY, 1)
        if self.name == "winograd":
            return WinogradPlan(problem, device, kernels, prepared=True)
        if self.name == "grouped":
            return GroupedPlan(problem, kernels)
        schedule = Schedule(TILES[0], waves=1)
        expression = fused("WindowLoader", TILES[0], padded=False)
        return TiledPlan(problem, device, kernels, "im2win_fused", expression, schedule, fused=True)


def emulate(library: EmulatedLibrary, monkeypatch: pytest.MonkeyPatch, names: Sequence[str] = ("tensor core",)) -> None:
    """Have the operator take tensors of the CPU, and compute them by emulated kernels."""
    monkeypatch.setattr(dispatch, "takes", lambda device: True)
    monkeypatch.setattr(dispatch, "too_old", lambda device: "")
    monkeypatch.setattr(dispatch, "_capability", lambda device: (9, 0))
    monkeypatch.setattr(dispatch, "library", lambda device: library)
    monkeypatch.setattr(dispatch, "_FOUND", {})
    monkeypatch.setattr(eager, "_KNOWN", {})
    monkeypatch.setattr(eager, "_CALLS", {})
    monkeypatch.setattr(dispatch, "algorithms", lambda *_: [Emulated(name) for name in names])

"""The further baselines on a GPU: every tile of the implicit GEMMs in Triton and of CUTLASS, and the choice of one."""

from __future__ import annotations

import pytest
import torch

from kernels.baselines import cutlass_source, triton_gemm
from kernels.baselines.cutlass import CutlassPlan
from kernels.baselines.triton_gemm import TILES, TritonPlan
from kernels.plan import Plan, UnsupportedError
from kernels.problem import ConvProblem
from tests.problems import EDGES, MIXED
from tests.relative import BOUND, backward_error
from workflow.harness import timing, verify

DEVICE = torch.device("cuda", 0)
#: One whose filter is read 16 bytes at a time, and one with a long reduction.
ALIGNED, LONG = ConvProblem(3, 32, 19, 23, 150, 3, 3, padding=1), ConvProblem(2, 512, 10, 10, 200, 3, 3)


def tensors(problem: ConvProblem, integers: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x, f = torch.rand(problem.input_shape, device=DEVICE), torch.rand(problem.filter_shape, device=DEVICE) - 0.5
    if integers:
        x, f = (x * 9).floor(), (f * 9).floor()
    y = torch.empty(problem.output_shape, device=DEVICE)
    verify.poison(y)
    return x, f, y


@pytest.mark.parametrize("problem", [*EDGES, *MIXED, ALIGNED, LONG], ids=str)
def test_every_tile_in_triton(problem: ConvProblem) -> None:
    plan, ran = plan_of("triton", problem), 0
    assert isinstance(plan, TritonPlan)
    for plan._tile in TILES:
        for integers in (False, True):
            x, f, y = tensors(problem, integers)
            try:
                plan.run(x, f, y)
            except triton_gemm.triton.OutOfResources:
                continue
            ran += 1
            assert backward_error(x, f, y, problem) <= (0.0 if integers else BOUND), plan._tile
    assert ran


@pytest.mark.parametrize("problem", [*EDGES, *MIXED, ALIGNED, LONG], ids=str)
def test_every_tile_of_cutlass(problem: ConvProblem) -> None:
    plan = plan_of("cutlass", problem)
    assert isinstance(plan, CutlassPlan)
    for tile in cutlass_source.TILES:
        try:
            plan._load(tile)
        except UnsupportedError:  # this GPU has less shared memory
            continue
        plan._tile = tile
        for integers in (False, True):
            x, f, y = tensors(problem, integers)
            plan.run(x, f, y)
            assert backward_error(x, f, y, problem) <= (0.0 if integers else BOUND), tile


@pytest.mark.parametrize("name", ["triton", "cutlass"])
def test_the_choice_of_a_tile(name: str) -> None:
    plan = plan_of(name, LONG)
    x, f, y = tensors(LONG, integers=False)
    plan.run(x, f, y)
    clock = timing.cold_clock(DEVICE)
    plan.autotune(x, f, y, lambda work: timing.quick_median(clock, work))
    verify.poison(y)
    plan.run(x, f, y)
    # Each step is summed from zero: summed in the tensor core throughout, it would be off by 3e-5.
    assert verify.error(LONG, x, f, y).within(1e-6, 1e-5)


def plan_of(name: str, problem: ConvProblem) -> Plan:
    try:
        return TritonPlan(problem) if name == "triton" else CutlassPlan(problem, DEVICE)
    except UnsupportedError as error:
        pytest.skip(str(error))

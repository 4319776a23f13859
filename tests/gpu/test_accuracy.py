"""The FP32-accurate class is no less accurate than cuDNN's strict FP32 on the same data, whatever the data."""

from __future__ import annotations

import math

import pytest
import torch

from kernels import algorithm as algorithms
from kernels import benchdnn
from kernels.families.im2win_tensor_core import TensorCorePlan
from kernels.launch import KernelLibrary
from kernels.plan import Plan, UnsupportedError
from kernels.problem import ConvProblem
from kernels.reference import reference
from kernels.tiles.tensor_core import K_BLOCK, MMA_TILES, WGMMA_TILES, TensorCoreTile
from kernels.tiles.tensor_core_sliding import MMA_SLIDING_TILES, SLIDING_TILES
from tests.problems import EDGES, random_problems
from tests.relative import componentwise_error
from tests.shared import known_conf
from workflow.accuracy import accuracy, reference_algorithm
from workflow.harness import verify
from workflow.harness.distributions import COMPARED, make

LAYERS = {name: layer for name, layer in known_conf().groups["layer"].items() if name.startswith("conv")}
RESNET50 = {name: benchdnn.parse(name).layer for name in known_conf().groups["suite"]["resnet50"]["layers"]}
DEVICE = torch.device("cuda", 0)
NAMES = ("im2win_tensor_core", "im2win_tensor_core_mma")
MODULES = dict.fromkeys(NAMES, "kernels.families.im2win_tensor_core") | {
    "im2win_tensor_core_winograd": "kernels.families.im2win_tensor_core_winograd"
}
BASELINE = reference_algorithm(known_conf())


def run(plan: Plan, problem: ConvProblem, x: torch.Tensor, f: torch.Tensor) -> torch.Tensor:
    y = torch.empty(problem.output_shape, device=DEVICE)
    verify.poison(y)
    plan.run(x, f, y)
    return y


def tensor_core_plan(name: str, problem: ConvProblem, library: KernelLibrary) -> Plan:
    try:
        return algorithms.load(name, MODULES[name]).plan(problem, DEVICE, library, False)
    except UnsupportedError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", MODULES)
def test_no_worse_than_strict_fp32(name: str, layer: str, library: KernelLibrary) -> None:
    problem = ConvProblem.from_layer(LAYERS[layer], 2)
    ours = tensor_core_plan(name, problem, library)
    baseline = algorithms.load(BASELINE, "kernels.families.cudnn").plan(problem, DEVICE, library, False)
    for seed, distribution in enumerate(COMPARED):
        x, f = make(distribution, problem, DEVICE, seed)
        found, allowed = (accuracy(problem, x, f, run(plan, problem, x, f)) for plan in (ours, baseline))
        assert found.error_fro <= allowed.error_fro, distribution
        assert found.error_max <= allowed.error_max, distribution


@pytest.mark.parametrize(
    "tile",
    (*WGMMA_TILES, *SLIDING_TILES, *MMA_TILES, *MMA_SLIDING_TILES),
    ids=lambda tile: f"{tile.program}<{tile.arguments}>",
)
def test_every_tile_is_exact_on_integers(tile: TensorCoreTile, library: KernelLibrary) -> None:
    if tile in (*WGMMA_TILES, *SLIDING_TILES) and torch.cuda.get_device_capability() != (9, 0):
        pytest.skip("wgmma is an instruction of compute capability 9.0")
    for problem in filter(tile.supports, EDGES + random_problems(4, seed=3)):
        x = torch.randint(-8, 9, problem.input_shape, device=DEVICE).float()
        f = torch.randint(-8, 9, problem.filter_shape, device=DEVICE).float()
        for splits in range(1, 1 + min(3, tile.k_blocks(problem))):
            y = run(TensorCorePlan(problem, DEVICE, library, tile, splits), problem, x, f)
            assert verify.error(problem, x, f, y) == verify.Error(0.0, 0.0), (problem, splits)


@pytest.mark.parametrize(
    "tile",
    (*WGMMA_TILES, *SLIDING_TILES, *MMA_TILES, *MMA_SLIDING_TILES),
    ids=lambda tile: f"{tile.program}<{tile.arguments}>",
)
def test_element_by_element(tile: TensorCoreTile, library: KernelLibrary) -> None:
    """The definition of the class fp32_accurate, on data whose magnitudes lie up to 2^40 and 2^80 apart."""
    if tile in (*WGMMA_TILES, *SLIDING_TILES) and torch.cuda.get_device_capability() != (9, 0):
        pytest.skip("wgmma is an instruction of compute capability 9.0")
    problems = [ConvProblem(2, channels, 12, 40, 70, 1, 1) for channels in (1, 2, 5, 33, 64)]
    problems += [ConvProblem(2, channels, 12, 40, 70, 3, 3) for channels in (1, 3, 40)]
    for seed, problem in enumerate(one for one in problems + random_problems(8, seed=9) if fits(tile, one)):
        torch.manual_seed(seed)
        for exponents in (0, 20, 40):
            shapes = problem.input_shape, problem.filter_shape
            x, f = (
                torch.randn(shape, device=DEVICE)
                * 2.0 ** torch.randint(-exponents, exponents + 1, shape, device=DEVICE)
                for shape in shapes
            )
            for splits in range(1, 1 + min(2, tile.k_blocks(problem))):
                y = run(TensorCorePlan(problem, DEVICE, library, tile, splits), problem, x, f)
                assert componentwise_error(x, f, y, problem) <= 1, (problem, exponents, splits)


def fits(tile: TensorCoreTile, problem: ConvProblem) -> bool:
    """Whether a plan might take this tile."""
    return tile.supports(problem) and (tile.parts == 3) == (problem.gemm_shape[2] <= K_BLOCK)


#: X and F of both signs, of one, and mixed as behind a ReLU.
SIGNS = {
    "relu": lambda x, f: (x.normal_().relu_(), f.normal_()),
    "positive": lambda x, f: (x.normal_().abs_(), f.normal_().abs_()),
    "normal": lambda x, f: (x.normal_(), f.normal_()),
    "uniform": lambda x, f: (x.uniform_(), f.uniform_(-0.5, 0.5)),
}


@pytest.mark.parametrize("kind", SIGNS)
@pytest.mark.parametrize("layer", [*LAYERS, *RESNET50])
@pytest.mark.parametrize("name", MODULES)
def test_no_bias(name: str, layer: str, kind: str, library: KernelLibrary) -> None:
    """Errors do not shrink results, which would add up along a network."""
    problem = ConvProblem.from_layer((LAYERS | RESNET50)[layer], 4)
    torch.manual_seed(len(layer))
    x, f = SIGNS[kind](*(torch.empty(shape, device=DEVICE) for shape in (problem.input_shape, problem.filter_shape)))
    exact = reference(problem, x, f)
    y = run(tensor_core_plan(name, problem, library), problem, x, f)
    bias = float(((y.double() - exact) * exact.sign()).mean() / exact.abs().mean())
    assert abs(bias) <= 0.3 * 2.0**-24, f"bias of {bias * 2**24:.2f} u"


@pytest.mark.parametrize("where", ["input", "filter"])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 3e38])
@pytest.mark.parametrize("name", NAMES)
def test_special_values_come_out_where_fp32_puts_them(
    name: str, where: str, value: float, library: KernelLibrary
) -> None:
    problem = ConvProblem(2, 20, 12, 13, 70, 3, 3, 1)
    x, f = make("normal", problem, DEVICE, seed=1)
    (x if where == "input" else f).view(-1)[77] = value
    y = run(tensor_core_plan(name, problem, library), problem, x, f)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        expected = torch.nn.functional.conv2d(x, f)
    assert torch.equal(y.isnan(), expected.isnan())
    assert torch.equal(y.isinf(), expected.isinf())
    assert torch.equal(y[y.isinf()], expected[y.isinf()])
    finite = y.isfinite()
    torch.testing.assert_close(y[finite], expected[finite], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_denormals_and_zeros(name: str, library: KernelLibrary) -> None:
    problem = ConvProblem(1, 20, 9, 10, 70, 3, 3, 1)
    x, f = make("normal", problem, DEVICE, seed=1)
    assert not run(tensor_core_plan(name, problem, library), problem, torch.zeros_like(x), f).any()
    assert not run(tensor_core_plan(name, problem, library), problem, x, torch.zeros_like(f)).any()
    # Values below FP32's normal range are left to the guard; a large filter brings the results back into it.
    small, large = x * 1e-41, f * 1e20
    y = run(tensor_core_plan(name, problem, library), problem, small, large)
    assert verify.error(problem, small, large, y).within(1e-6, 1e-6)

"""The operator by kernels: recorded launches on any tensors, and weights that are prepared once."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.nn import functional

import kernels
from kernels.launch import KernelLibrary
from kernels.model import dispatch, eager, tuning, weights
from kernels.model.recorded import Prepared, Recorded
from kernels.plan import UnsupportedError
from kernels.problem import ConvProblem
from tests.emulation.launch import COMPILER, EmulatedLibrary
from tests.emulation.programs import emulated_kernels
from tests.kernels.model.emulated import Emulated, emulate

pytestmark = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> EmulatedLibrary:
    return EmulatedLibrary(tmp_path_factory, emulated_kernels())


@pytest.fixture
def by_kernels(library: EmulatedLibrary, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the preparations that were started."""
    emulate(library, monkeypatch)
    prepared: list[str] = []
    original = Recorded.prepare

    def prepare(self: Recorded, f: torch.Tensor, before: Prepared | None = None) -> Prepared:
        prepared.append(self.name)
        return original(self, f, before)

    monkeypatch.setattr(Recorded, "prepare", prepare)
    weights._KNOWN.clear()
    yield prepared
    weights._KNOWN.clear()


def close(y: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)


def test_any_form_of_tensors(by_kernels: list[str]) -> None:
    x, f, bias = torch.randn(2, 5, 9, 8), torch.randn(6, 5, 3, 3), torch.randn(6)
    for input in (x, x.to(memory_format=torch.channels_last), x.transpose(2, 3), x[0], x[:, :, ::2]):
        hows: tuple[dict[str, Any], ...] = ({}, {"padding": 1, "stride": (1, 2)}, {"padding": "same", "dilation": 2})
        for how in hows:
            y = kernels.conv2d(input, f, bias, **how, fallback=False)
            close(y, functional.conv2d(input, f, bias, **how))
            assert y.is_contiguous()
    close(kernels.conv2d(x, f.transpose(2, 3), fallback=False), functional.conv2d(x, f.transpose(2, 3)))


def test_views_that_begin_anywhere(by_kernels: list[str]) -> None:
    """Kernels read vectors, and a misaligned read ends the process."""
    shapes = (2, 4, 8, 8), (6, 4, 3, 3)
    for behind in (1, 2, 3):
        x, f = (torch.randn(behind + torch.Size(shape).numel())[behind:].view(shape) for shape in shapes)
        assert x.is_contiguous() and x.data_ptr() % 16
        close(kernels.conv2d(x, f, padding=1, fallback=False), functional.conv2d(x, f, padding=1))


def test_one_dimension(by_kernels: list[str]) -> None:
    x, f, bias = torch.randn(3, 7, 30), torch.randn(4, 7, 5), torch.randn(4)
    hows: tuple[dict[str, Any], ...] = ({}, {"padding": 2, "stride": 2}, {"dilation": 3})
    for how in hows:
        close(kernels.conv1d(x, f, bias, **how, fallback=False), functional.conv1d(x, f, bias, **how))
    close(kernels.conv1d(x[0], f, fallback=False), functional.conv1d(x[0], f))


@pytest.mark.parametrize("name", ["tensor core", "windows in memory", "winograd", "fused"])
def test_recorded_plans(name: str, library: EmulatedLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each leaves its workspace to the caller, and one record serves several weights."""
    emulate(library, monkeypatch, [name])
    padding = 1 if name == "winograd" else 0
    for _ in range(2):
        x, f = torch.randn(2, 9, 11, 10), torch.randn(20, 9, 3, 3)
        close(kernels.conv2d(x, f, padding=padding, fallback=False), functional.conv2d(x, f, padding=padding))


def test_a_weight_is_prepared_once_and_after_changes(by_kernels: list[str]) -> None:
    x, layer = torch.randn(1, 4, 6, 6), torch.nn.Conv2d(4, 5, 3)
    kernels.convert(layer, fallback=False)

    def correct() -> None:
        with torch.no_grad():
            close(layer(x), functional.conv2d(x, layer.weight, layer.bias))

    correct()
    correct()
    assert len(by_kernels) == 1
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(x).sum().backward()
    optimizer.step()
    correct()
    correct()
    assert len(by_kernels) == 2
    layer.load_state_dict(torch.nn.Conv2d(4, 5, 3).state_dict())
    correct()
    layer.weight.data = torch.randn(5, 4, 3, 3)
    correct()
    correct()
    assert len(by_kernels) == 4
    layer.weight.data.mul_(2)  # which only `forget` tells
    kernels.forget()
    correct()
    another = copy.deepcopy(layer)
    close(another(x), layer(x))
    close(pickle.loads(pickle.dumps(layer))(x), layer(x))


def test_a_changed_weight_is_prepared_in_the_same_place(by_kernels: list[str]) -> None:
    """A CUDA graph goes on reading there."""
    x, f = torch.randn(1, 4, 6, 6), torch.randn(5, 4, 3, 3)
    places = []
    for _ in range(2):
        close(kernels.conv2d(x, f, fallback=False), functional.conv2d(x, f))
        (known,) = weights._KNOWN.values()
        places.append([one.data_ptr() for one in known.prepared.tensors])
        f.add_(1)
    assert places[0] == places[1]
    assert len(by_kernels) == 2


def test_an_inference_tensor_is_prepared_every_time(by_kernels: list[str]) -> None:
    with torch.inference_mode():
        x, f = torch.randn(1, 4, 6, 6), torch.randn(5, 4, 3, 3)
        for _ in range(2):
            close(kernels.conv2d(x, f, fallback=False), functional.conv2d(x, f))
            f.mul_(3)
    assert len(by_kernels) == 2


def test_what_is_kept_of_a_weight_goes_with_it(by_kernels: list[str]) -> None:
    for batch in range(1, 6):  # not only when that of the same sizes comes again
        x, f = torch.randn(batch, 4, 6, 6), torch.randn(5, 4, 3, 3)
        close(kernels.conv2d(x, f, fallback=False), functional.conv2d(x, f))
        assert len(weights._KNOWN) == len(eager._CALLS) == 1
    del f
    assert not eager._CALLS


def test_batch_sizes_share_what_is_prepared(by_kernels: list[str]) -> None:
    f = torch.randn(5, 4, 3, 3)
    for batch in (1, 2, 1, 3):
        x = torch.randn(batch, 4, 6, 6)
        close(kernels.conv2d(x, f, fallback=False), functional.conv2d(x, f))
    assert len(by_kernels) == len(weights._KNOWN) == 1


def test_threads(by_kernels: list[str]) -> None:
    x, filters = torch.randn(1, 4, 6, 6), [torch.randn(5, 4, 3, 3) for _ in range(4)]
    expected = [functional.conv2d(x, f) for f in filters]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for y, right in zip(
                pool.map(lambda f: kernels.conv2d(x, f, fallback=False), filters), expected, strict=True
            ):
                close(y, right)


def test_what_no_kernel_takes(by_kernels: list[str]) -> None:
    x, f = torch.randn(13, 4, 6, 6), torch.randn(5, 4, 3, 3)
    close(kernels.conv2d(x, f), functional.conv2d(x, f))
    for wrong, why in (
        ((x, f), "it takes no batch of 13"),
        ((x.double(), f.double()), "the kernels take torch.float32, not torch.float64"),
        ((x[:0], f), "there is nothing to compute"),
    ):
        with pytest.raises(UnsupportedError, match=f"PyTorch was not to: .*{why}"):
            kernels.conv2d(*wrong, fallback=False)
        close(kernels.conv2d(*wrong), functional.conv2d(*wrong))


def test_a_transform_of_x_is_not_the_filters(library: EmulatedLibrary) -> None:
    class TransformsX(Emulated):
        def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool):  # type: ignore[no-untyped-def]
            plan = super().plan(problem, device, kernels, tf32)
            plan.prepare = lambda x, f: kernels.launch(None, (1,), 32, x)  # type: ignore[method-assign,union-attr]
            return plan

    with pytest.raises(UnsupportedError, match="it transforms X"):
        Recorded(TransformsX("fused"), ConvProblem(1, 4, 6, 6, 5, 3, 3), torch.device("cpu"), library)


def test_gradients(by_kernels: list[str]) -> None:
    x, f, bias = (torch.randn(shape, requires_grad=True) for shape in ((2, 4, 7, 6), (6, 4, 3, 3), (6,)))
    how: dict[str, Any] = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}
    results = []
    for convolve in (kernels.conv2d, functional.conv2d):
        y = convolve(x, f, bias, **how)
        results.append([y, *torch.autograd.grad(y.square().sum(), (x, f, bias))])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["tensor core", "windows in memory", "winograd", "winograd in memory", "grouped", "fused"]
)
def test_bias_residual_and_relu(name: str, library: EmulatedLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Done by the kernel or after it, they are the same."""
    emulate(library, monkeypatch, (name,))
    # The first is computed in two parts, and the images of the second have no multiple of four pixels.
    for shape, size in (((2, 70, 8, 8), (6, 70, 3, 3)), ((2, 5, 9, 7), (6, 5, 3, 3))):
        x, f, bias = torch.randn(shape), torch.randn(size), torch.randn(6)
        plain = kernels.conv2d(x, f, fallback=False)
        residual = torch.randn(plain.shape)
        x[0, 0, 0, 0] = torch.nan
        plain = kernels.conv2d(x, f, fallback=False)
        for with_bias in (None, bias):
            for with_residual in (None, residual, residual.to(memory_format=torch.channels_last)):
                for relu in (False, True):
                    how = {"residual": with_residual, "relu": relu}
                    y = kernels.conv2d(x, f, with_bias, fallback=False, **how)
                    expected = plain if with_bias is None else plain + bias.view(-1, 1, 1)
                    expected = expected if with_residual is None else expected + residual
                    torch.testing.assert_close(y, expected.relu() if relu else expected, rtol=0, atol=0, equal_nan=True)
        assert y.isnan().any()


def test_a_residual_of_another_shape_or_type(by_kernels: list[str]) -> None:
    x, f = torch.randn(2, 5, 9, 8), torch.randn(6, 5, 3, 3)
    for residual in (
        torch.randn(2, 6, 1, 1),
        torch.randn(3, 1, 1, 7, 6),
        torch.randn(2, 6, 7, 6).double(),
        torch.ones(()),
    ):
        expected = functional.relu(functional.conv2d(x, f) + residual)
        for gradients in (False, True):
            y = kernels.conv2d(x.requires_grad_(gradients), f, residual=residual, relu=True, fallback=False)
            close(y, expected)
    one, residual = torch.randn(5, 30), torch.randn(4, 1)
    g = torch.randn(4, 5, 3)
    close(kernels.conv1d(one, g, residual=residual, fallback=False), functional.conv1d(one, g) + residual)
    assert len(by_kernels) == 2
    with pytest.raises(ValueError, match=r"residual is \[1\]; it must have the output's shape, \[2, 6, 7, 6\]"):
        torch.ops.im2win.conv2d(
            x, f, None, torch.ones(1), [1, 1], [0, 0, 0, 0], [1, 1], 1, False, "fp32_accurate", False
        )


@pytest.mark.parametrize("benchmark", [False, True])
def test_what_is_timed_under_the_autotuner(
    benchmark: bool, library: EmulatedLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each algorithm once and the fastest one taken; only where PyTorch's autotuner is on."""
    emulate(library, monkeypatch, ["tensor core", "fused"])
    monkeypatch.setattr(tuning, "is_on", lambda device: torch.backends.cudnn.benchmark)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", benchmark)
    times = iter((1.0, 2.0, 1.0) * 2)  # the tile of the first, then both
    timed = []

    def time(work: Callable[[], None]) -> float:
        work()
        timed.append(next(times))
        return timed[-1]

    monkeypatch.setattr(tuning, "time", time)
    state = torch.random.get_rng_state()
    problem = ConvProblem(2, 9, 11, 10, 20, 3, 3)
    found = dispatch.find(problem, torch.device("cpu"), "fp32_accurate")
    assert isinstance(found, Recorded)
    assert (found.name, len(timed)) == (("fused", 3) if benchmark else ("tensor core", 0))
    assert torch.equal(torch.random.get_rng_state(), state)
    for _ in range(2):
        x, f = torch.randn(2, 9, 11, 10), torch.randn(20, 9, 3, 3)
        close(kernels.conv2d(x, f, fallback=False), functional.conv2d(x, f))
    # While a graph is captured nothing is timed, and what was timed before is taken.
    monkeypatch.setattr(tuning, "is_capturing", lambda device: True)
    captured = dispatch.find(replace(problem, batch=3), torch.device("cpu"), "fp32_accurate")
    assert isinstance(captured, Recorded) and captured.name == "tensor core"
    assert dispatch.find(problem, torch.device("cpu"), "fp32_accurate") is found
    # A call with the same weight is found anew once it can be timed.
    x, f = torch.randn(4, 9, 11, 10), torch.randn(20, 9, 3, 3)
    close(kernels.conv2d(x, f, fallback=False), functional.conv2d(x, f))
    assert len(timed) == (3 if benchmark else 0)
    monkeypatch.setattr(tuning, "is_capturing", lambda device: False)
    close(kernels.conv2d(x, f, fallback=False), functional.conv2d(x, f))
    assert len(timed) == (6 if benchmark else 0)


def test_gradients_of_all(by_kernels: list[str]) -> None:
    x, f, bias, residual = torch.randn(2, 5, 9, 8), torch.randn(6, 5, 3, 3), torch.randn(6), torch.randn(2, 6, 9, 8)
    inputs = [one.requires_grad_() for one in (x, f, bias, residual)]
    ours = kernels.conv2d(x, f, bias, padding=1, residual=residual, relu=True, fallback=False)
    theirs = functional.relu(functional.conv2d(x, f, bias, padding=1) + residual)
    weight = torch.randn(ours.shape)
    pairs = zip(*(torch.autograd.grad((y * weight).sum(), inputs) for y in (ours, theirs)), strict=True)
    for one, other in pairs:
        close(one, other)


def test_plain_calls_go_past_the_dispatcher(
    by_kernels: list[str], library: EmulatedLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, f = torch.randn(2, 5, 9, 8), torch.randn(6, 5, 3, 3)
    y = kernels.conv2d(x, f, fallback=False)
    expected = functional.conv2d(x, f)
    kernels.conv2d(x, f, stride=[1, 2], fallback=False)
    monkeypatch.setattr(eager.call, "find", lambda *_: pytest.fail("it is known"))
    with torch.no_grad():
        assert torch.equal(kernels.conv2d(x, torch.nn.Parameter(f), fallback=False), y)
        close(kernels.conv2d(x, f, stride=[1, 2], fallback=False), y[..., ::2])
    monkeypatch.setattr(eager.call, "run", lambda *_: pytest.fail("its weight is prepared"))
    assert torch.equal(kernels.conv2d(x, f, fallback=False), y)
    monkeypatch.undo()
    emulate(library, monkeypatch)
    # Whatever the dispatcher serves is served.
    with torch.profiler.profile() as profile:
        kernels.conv2d(x, f)
    assert any("im2win::conv2d" in event.name for event in profile.events())
    close(torch.func.vmap(lambda one: kernels.conv2d(one, f))(x), expected)
    with FakeTensorMode():
        assert kernels.conv2d(torch.empty(2, 5, 9, 8), torch.empty(6, 5, 3, 3)).shape == y.shape

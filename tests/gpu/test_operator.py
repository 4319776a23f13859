"""The operator on a GPU: right in both classes, in graphs, on streams, threads and GPUs, and as PyTorch sees it."""

from __future__ import annotations

import copy
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import kernels
from kernels.model import dispatch, eager, operator, weights  # noqa: F401 (the operator is registered)
from kernels.model.dispatch import NUMERICS
from kernels.problem import ConvProblem
from tests.problems import MIXED
from tests.relative import BOUND, backward_error

DEVICE = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One cache of compiled kernels for all of these tests, and no weight that an earlier one prepared."""
    monkeypatch.setenv("IM2WIN_CACHE", str(tmp_path_factory.getbasetemp() / "im2win-cache"))
    weights._KNOWN.clear()
    yield
    weights._KNOWN.clear()


def arguments(problem: ConvProblem) -> tuple[Any, ...]:
    """stride, padding, dilation and groups as the operator takes them."""
    (above, below), (left, right) = problem.padding
    return list(problem.stride), [above, below, left, right], list(problem.dilation), problem.groups


@pytest.mark.parametrize("numerics", NUMERICS)
@pytest.mark.parametrize("problem", MIXED, ids=str)
def test_right(problem: ConvProblem, numerics: str) -> None:
    found = dispatch.find(problem, DEVICE, numerics)
    if isinstance(found, str):
        pytest.skip(found)
    shapes = (problem.input_shape, problem.filter_shape, (problem.out_channels,))
    x, f, bias = (torch.randn(shape, device=DEVICE) for shape in shapes)
    for _ in range(2):  # the second time with what was prepared
        y = torch.ops.im2win.conv2d(x, f, None, None, *arguments(problem), False, numerics, False)
        assert backward_error(x, f, y, problem) <= BOUND
        with_bias = torch.ops.im2win.conv2d(x, f, bias, None, *arguments(problem), False, numerics, False)
        assert torch.equal(with_bias, y + bias.view(-1, 1, 1))


def model() -> nn.Sequential:
    torch.manual_seed(0)
    convolutions = [
        nn.Conv2d(3, 24, 7, 2, 3),
        nn.Conv2d(24, 24, 3, padding=1, groups=24),
        nn.Conv2d(24, 48, 1),
        nn.Conv2d(48, 40, 3, padding=2, dilation=2),
        nn.Conv2d(40, 32, 3, padding=1, groups=4),
    ]
    return nn.Sequential(*(module for one in convolutions for module in (one, nn.ReLU()))).to(DEVICE)


def exact(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    plain = copy.deepcopy(network)
    kernels.restore(plain)
    with torch.no_grad():
        return plain.double()(x.double())


def assert_right(y: torch.Tensor, expected: torch.Tensor) -> None:
    assert float((y.double() - expected).norm() / expected.norm()) < 2e-6


def test_a_model_in_every_mode() -> None:
    network, x = model(), torch.randn(4, 3, 33, 47, device=DEVICE)
    expected = exact(network, x)
    assert len(kernels.convert(network, fallback=False).replaced) == 5
    for convolved in (x, x.to(memory_format=torch.channels_last)):
        with torch.no_grad():
            assert_right(network(convolved), expected)
    with torch.inference_mode():
        assert_right(network(x), expected)
    with torch.no_grad():
        assert_right(torch.compile(network, fullgraph=True)(x), expected)
    with torch.autocast("cuda", torch.float16):
        assert network(x).dtype == torch.float16


@pytest.mark.parametrize("warm", [True, False])
def test_a_cuda_graph(warm: bool) -> None:
    network, x = model(), torch.randn(2, 3, 33, 47, device=DEVICE)
    kernels.convert(network, fallback=False)
    with torch.no_grad():
        network(x)  # compiles and makes ready, which no capture allows
        if not warm:
            for weight in network.parameters():
                weight.mul_(1)  # what was prepared of it holds no more
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = network(x)
        for _ in range(3):
            x.normal_()
            y.fill_(torch.nan)
            graph.replay()
            assert_right(y, exact(network, x))
        if warm:
            network.get_parameter("0.weight").mul_(2)
            network(x)  # prepares it anew, where the graph reads
            graph.replay()
            assert_right(y, exact(network, x))
        # What the capture prepared is the graph's alone: nothing is left that was recorded and never ran.
        assert_right(network(x), exact(network, x))
        if not warm:
            network.get_parameter("0.weight").mul_(2)
            graph.replay()  # prepares its weights in every replay
            assert_right(y, exact(network, x))


def test_streams_and_threads() -> None:
    network = model()
    kernels.convert(network, fallback=False)
    inputs = [torch.randn(2, 3, 65, 63, device=DEVICE) for _ in range(6)]
    expected = [exact(network, x) for x in inputs]
    torch.cuda.synchronize()
    results: list[torch.Tensor | None] = [None] * len(inputs)

    def work(index: int) -> None:
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream), torch.no_grad():
            for _ in range(20):
                results[index] = network(inputs[index])
        stream.synchronize()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for y, right in zip(results, expected, strict=True):
        assert y is not None
        assert_right(y, right)


def test_weights_that_change() -> None:
    network, x = model(), torch.randn(2, 3, 33, 47, device=DEVICE)
    kernels.convert(network, fallback=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(3):
        y = network(x)
        assert_right(y.detach(), exact(network, x))
        optimizer.zero_grad()
        y.square().mean().backward()
        optimizer.step()


def test_gradients() -> None:
    ours, theirs = model(), model()
    x = torch.randn(2, 3, 33, 47, device=DEVICE)
    kernels.convert(ours)
    results = []
    for network in (ours, theirs):
        given = x.clone().requires_grad_()
        # TF32 is allowed where the operator is to do without it.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=network is ours):
            results.append(torch.autograd.grad(network(given).square().sum(), [given, *network.parameters()]))
    for one, other in zip(*results, strict=True):
        assert float((one - other).norm() / other.norm()) < 1e-5


@pytest.mark.parametrize("padding", [[1, 1, 1, 1], [1, 2, 0, 1]])
def test_opcheck(padding: list[int]) -> None:
    x, f, bias = (torch.randn(shape, device=DEVICE).requires_grad_() for shape in ((2, 4, 9, 8), (6, 4, 3, 3), (6,)))
    torch.library.opcheck(
        torch.ops.im2win.conv2d.default, (x, f, bias, None, [1, 2], padding, [1, 1], 1, False, NUMERICS[0], True)
    )


def test_pytorchs_own_samples() -> None:
    command = [sys.executable, "-m", "tests.samples", "cuda"]
    result = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("numerics", NUMERICS)
def test_views_that_begin_anywhere(numerics: str) -> None:
    shapes = (2, 4, 8, 8), (6, 4, 3, 3)
    for behind in (1, 2, 3):
        sizes = [behind + torch.Size(shape).numel() for shape in shapes]
        x, f = (
            torch.randn(size, device=DEVICE)[behind:].view(shape) for size, shape in zip(sizes, shapes, strict=True)
        )
        y = kernels.conv2d(x, f, padding=1, numerics=numerics, fallback=False)
        assert_right(y, functional.conv2d(x.double(), f.double(), padding=1))


def test_another_gpu() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")
    network, x = model().to("cuda:1"), torch.randn(2, 3, 33, 47, device="cuda:1")
    expected = exact(network, x)
    kernels.convert(network, fallback=False)
    with torch.no_grad():
        assert_right(network(x), expected)  # while the other one is current
    assert torch.cuda.current_device() == 0


def test_what_is_left_to_pytorch() -> None:
    x, f = torch.randn(2, 4, 9, 8, device=DEVICE), torch.randn(6, 4, 3, 3, device=DEVICE)
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        assert torch.equal(kernels.conv2d(x.to(dtype), f.to(dtype)), functional.conv2d(x.to(dtype), f.to(dtype)))
    assert kernels.conv2d(x[:0], f).shape == (0, 6, 7, 6)
    with pytest.raises(RuntimeError):
        kernels.conv2d(x, f.cpu())


def test_timed_under_pytorchs_autotuner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_FOUND", {})
    monkeypatch.setattr(eager, "_KNOWN", {})
    monkeypatch.setattr(eager, "_CALLS", {})
    network, x = model().eval(), torch.randn(2, 3, 40, 36, device=DEVICE)
    expected = exact(network, x)
    kernels.convert(network, fallback=False)

    def timed() -> int:
        return sum(one for *_, one in dispatch._FOUND)

    def captured() -> torch.Tensor:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = network(x)
        graph.replay()
        return y

    with torch.no_grad():
        network(x)
        monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
        assert_right(captured(), expected)
        assert timed() == 0
        for _ in range(2):
            assert_right(network(x), expected)
        assert timed() == 5
        assert_right(captured(), expected)

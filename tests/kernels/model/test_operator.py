"""The operator as PyTorch sees it: shapes, errors, gradients, tracing. Without a GPU, so PyTorch computes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

import kernels

ROOT = Path(__file__).resolve().parents[3]
BOTH = [(kernels.conv1d, functional.conv1d, 1), (kernels.conv2d, functional.conv2d, 2)]


def tensors(dimensions: int, groups: int = 1, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    return (
        torch.randn(2, 4, *(9, 8)[:dimensions], dtype=dtype),
        torch.randn(6, 4 // groups, *(3, 2)[:dimensions], dtype=dtype),
        torch.randn(6, dtype=dtype),
    )


@pytest.mark.parametrize(("ours", "theirs", "dimensions"), BOTH)
@pytest.mark.parametrize(
    "how",
    [{}, {"padding": "same"}, {"padding": "valid", "stride": 2}, {"padding": 1, "dilation": 2, "groups": 2}],
    ids=str,
)
def test_as_torch(ours: Callable[..., Any], theirs: Callable[..., Any], dimensions: int, how: dict[str, Any]) -> None:
    x, f, bias = tensors(dimensions, how.get("groups", 1))
    for input in (x, x[0], x[:0]):
        for last in (bias, None):
            assert torch.equal(ours(input, f, last, **how), theirs(input, f, last, **how))


@pytest.mark.parametrize(("ours", "theirs", "dimensions"), BOTH)
@pytest.mark.parametrize(
    "how",
    [
        {"stride": (1, 2, 3)},
        {"padding": "some"},
        {"padding": "same", "stride": 2},
        {"groups": 3},
        {"stride": 0},
        {"padding": -1},
        {"dilation": 9},
    ],
    ids=str,
)
def test_errors_are_pytorchs(
    ours: Callable[..., Any], theirs: Callable[..., Any], dimensions: int, how: dict[str, Any]
) -> None:
    x, f, bias = tensors(dimensions)
    with pytest.raises((RuntimeError, ValueError)) as expected:
        theirs(x, f, bias, **how)
    with pytest.raises(expected.type):
        ours(x, f, bias, **how)
    for wrong in ((x.unsqueeze(0).unsqueeze(0), f, bias), (x, f[0], bias), (x, f, bias[:2])):
        with pytest.raises(RuntimeError):
            ours(*wrong)


def test_an_unknown_class_of_arithmetic() -> None:
    with pytest.raises(ValueError, match="numerics is 'tf32'; it must be one of fp32_accurate, strict_fp32"):
        kernels.conv2d(*tensors(2), numerics="tf32")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("padding", [[1, 1, 1, 1], [1, 2, 0, 1]])
@pytest.mark.parametrize("with_bias", [True, False])
def test_opcheck(dtype: torch.dtype, padding: list[int], with_bias: bool) -> None:
    x, f, bias = (one.requires_grad_() for one in tensors(2, dtype=dtype))
    residual = torch.ops.im2win.conv2d(
        x, f, None, None, [1, 2], padding, [1, 1], 1, False, "fp32_accurate", True
    ).detach()
    for relu, added in ((False, None), (True, residual.requires_grad_())):
        arguments = (x, f, bias if with_bias else None, added, [1, 2], padding, [1, 1], 1, relu, "fp32_accurate", True)
        torch.library.opcheck(torch.ops.im2win.conv2d.default, arguments)


@pytest.mark.parametrize(("ours", "_", "dimensions"), BOTH)
@pytest.mark.parametrize("how", [{"padding": "same"}, {"padding": 1, "stride": 2}, {"groups": 2}], ids=str)
def test_gradcheck(ours: Callable[..., Any], _: Any, dimensions: int, how: dict[str, Any]) -> None:
    doubles = [one.requires_grad_() for one in tensors(dimensions, how.get("groups", 1), torch.float64)]
    assert torch.autograd.gradcheck(lambda *inputs: ours(*inputs, **how), doubles)


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(4, 6, 3, padding=1), torch.nn.Conv1d(6, 5, 3, padding="same")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).relu().flatten(2))


def test_compile_and_export() -> None:
    model, x = Small(), tensors(2)[0]
    expected = model(x)
    kernels.convert(model)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), expected)
    loss = compiled(x).square().sum()
    loss.backward()
    assert model.first.weight.grad is not None
    exported = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=2, max=64)},))
    named = [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]
    assert sum("im2win.conv2d" in name for name in named) == 2
    assert torch.equal(exported.module()(x), expected)
    assert exported.module()(torch.randn(5, 4, 9, 8)).shape[0] == 5


def test_under_autocast_pytorch_chooses_the_type() -> None:
    x, f, bias = tensors(2)
    with torch.autocast("cpu", torch.bfloat16):
        assert kernels.conv2d(x, f, bias).dtype == torch.bfloat16


def test_pytorchs_own_samples() -> None:
    command = [sys.executable, "-m", "tests.samples", "cpu"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[0]) > 10

"""Batch norm, residuals and ReLU moved into convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import kernels


class Block(nn.Module):
    """A residual block as torchvision's ResNet has it; with `shortcut` a convolution on the other branch."""

    def __init__(self, shortcut: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential(nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6)) if shortcut else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += self.shortcut(x)
        return self.relu(y)


class Others(nn.Module):
    """What must stay: a convolution called twice, an output used twice, a sum with a number, another activation."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.used_twice = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1)
        self.plus_one, self.activated = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.twice(self.twice(x).relu())
        y = self.used_twice(x)
        x = functional.relu(y) + y
        x = (self.plus_one(x) + 1).relu()
        return functional.hardswish(self.activated(x))


def network() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(Block(False), Block(True), Others())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for one in (module.weight, module.bias, module.running_mean):
                nn.init.normal_(one)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    return model.eval()


def test_the_same_network_in_fewer_steps() -> None:
    model, x = network(), torch.randn(2, 6, 9, 8)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    expected = model(x)
    fused = kernels.fuse(model)
    with torch.no_grad():
        torch.testing.assert_close(fused(x), expected, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert all(type(one) is not kernels.Conv2d for one in model.modules())
    kinds = [type(one).__name__ for one in fused.modules()]
    assert "BatchNorm2d" not in kinds
    modules = dict(fused.named_modules())
    called: dict[str, Any] = {str(node.target): node for node in fused.graph.nodes if node.op == "call_module"}
    relu = {name: modules[name].relu for name in called if isinstance(modules[name], kernels.Conv2d)}
    assert [name for name, found in relu.items() if found] == ["0.conv1", "0.conv2", "1.conv1", "1.conv2"]
    assert [name for name, node in called.items() if len(node.args) == 2] == ["0.conv2", "1.conv2"]


def test_a_model_in_training_mode() -> None:
    with pytest.raises(ValueError, match="training mode: call model.eval"):
        kernels.fuse(network().train())


class Broadcast(nn.Module):
    """Sums that widen one side or the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1)
        self.offset = nn.Parameter(torch.randn(1, 6, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = (self.first(x) + self.offset).relu()
        return self.second(y.mean((2, 3), keepdim=True)) + x


class InPlace(nn.Module):
    """The other side is the convolution's input, changed in place after it was read."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.conv, self.relu, self.how = nn.Conv2d(6, 6, 1), nn.ReLU(inplace=True), how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + 0
        y = self.conv(x)
        if self.how == "the input":
            return y + self.relu(x)
        kept = x
        kept.add_(y)  # x is what it was no more
        return x * 2


@pytest.mark.parametrize("make", [Broadcast, lambda: InPlace("the input"), lambda: InPlace("the other side")])
def test_sums_that_are_not_simple(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model, x = make().eval(), torch.randn(2, 6, 9, 8)
    with torch.no_grad():
        torch.testing.assert_close(kernels.fuse(model)(x), model(x), rtol=1e-4, atol=1e-4)

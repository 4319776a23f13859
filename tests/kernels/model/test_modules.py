"""convert and restore: in place, with everything that hangs on a module."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import kernels


class Own(nn.Conv2d):
    """A class of the user's."""


def model() -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "plain": nn.Conv2d(3, 4, 3, padding=1, bias=False),
            "reflect": nn.Conv2d(3, 4, 3, padding=(2, 1), padding_mode="reflect"),
            "sequence": nn.Sequential(nn.Conv1d(3, 4, 3, padding=1, padding_mode="circular"), nn.ReLU()),
            "short": nn.Conv2d(3, 4, 3).half(),
            "transposed": nn.ConvTranspose2d(3, 4, 3),
            "cube": nn.Conv3d(3, 4, 3),
            "own": Own(3, 4, 3),
            "linear": nn.Linear(3, 4),
        }
    )


def test_convert_and_restore() -> None:
    net = model()
    before = {name: type(module) for name, module in net.named_modules()}
    state = {name: id(tensor) for name, tensor in net.state_dict(keep_vars=True).items()}
    called: list[str] = []
    net["plain"].register_forward_hook(lambda *_: called.append("plain"))
    x, line = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 9)
    expected = [net["plain"](x), net["reflect"](x), net["sequence"](line)]
    done = kernels.convert(net, "strict_fp32", fallback=True)
    assert done.replaced == ["plain", "reflect", "sequence.0"]
    assert done.left == {
        "short": "its weight is torch.float16, and the kernels take torch.float32",
        "transposed": "transposed or 3-D",
        "cube": "transposed or 3-D",
        "own": "a class of its own, Own",
    }
    assert str(done).splitlines()[0] == "3 convolutions replaced, 4 left"
    assert {name: id(tensor) for name, tensor in net.state_dict(keep_vars=True).items()} == state
    for result, right in zip([net["plain"](x), net["reflect"](x), net["sequence"](line)], expected, strict=True):
        assert torch.equal(result, right)
    assert called == ["plain", "plain"]
    assert net["plain"].numerics == "strict_fp32"
    assert kernels.restore(net) == done.replaced
    assert {name: type(module) for name, module in net.named_modules()} == before
    assert "numerics" not in vars(net["plain"])


def test_only_some_and_twice() -> None:
    net = model()
    done = kernels.convert(net, only=lambda name, module: name == "plain" or module.bias is None)
    assert done.replaced == ["plain"]
    assert done.left["reflect"] == "not asked for"
    assert kernels.convert(net).replaced == ["plain", "reflect", "sequence.0"]


def test_a_converted_module_that_may_not_fall_back_says_why() -> None:
    net = model()
    kernels.convert(net, fallback=False)
    with pytest.raises(Exception, match="PyTorch was not to: the tensors must be on one NVIDIA GPU"):
        net["plain"](torch.randn(2, 3, 8, 8))


def test_an_unknown_class_of_arithmetic() -> None:
    with pytest.raises(ValueError, match="it must be one of fp32_accurate, strict_fp32"):
        kernels.convert(model(), "tf32")

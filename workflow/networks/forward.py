"""A network's forward pass: by PyTorch or with this project's convolutions; eagerly, compiled or as a CUDA graph."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from kernels.model.modules import convert


@dataclass(frozen=True)
class Backend:
    """What computes the convolutions."""

    #: The class of arithmetic of this project's kernels; empty: PyTorch computes.
    numerics: str = ""
    tf32: bool = False
    channels_last: bool = False
    #: What PyTorch reads at its first convolution.
    environment: dict[str, str] = field(default_factory=dict)


_OLDER = {"TORCH_CUDNN_V8_API_DISABLED": "1"}
#: Name -> backend. PyTorch's autotuner chooses among cuDNN's engines in each of its own.
BACKENDS = {
    "pytorch": Backend(),
    "pytorch_legacy": Backend(environment=_OLDER),
    "pytorch_channels_last": Backend(channels_last=True),
    "pytorch_tf32": Backend(tf32=True),
    "pytorch_tf32_channels_last": Backend(tf32=True, channels_last=True),
    "im2win": Backend("fp32_accurate"),
    "im2win_strict": Backend("strict_fp32"),
}
MODES = ("eager", "compile", "graph")
#: How often a forward pass runs before it is captured, as PyTorch's documentation advises.
_WARM_UPS = 3


def set_up(backend: Backend) -> None:
    """Set this process's switches of PyTorch for a backend."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.benchmark_limit = 0  # try every engine, not only the first ten
    torch.backends.cudnn.allow_tf32 = backend.tf32
    torch.backends.cuda.matmul.allow_tf32 = backend.tf32


def prepare(model: nn.Module, backend: Backend, inputs: Sequence[torch.Tensor]) -> tuple[nn.Module, list[torch.Tensor]]:
    """The model and its inputs as a backend takes them; the model is changed."""
    if backend.numerics:
        convert(model, backend.numerics)
    if not backend.channels_last:
        return model, list(inputs)
    images = [one.to(memory_format=torch.channels_last) if one.dim() == 4 else one for one in inputs]
    return model.to(memory_format=torch.channels_last), images  # type: ignore[call-overload]


def runner(model: nn.Module, inputs: Sequence[torch.Tensor], mode: str) -> Callable[[], Any]:
    """What runs the forward pass once and gives its output; that of a graph is overwritten by the next run."""
    if mode == "compile":
        compiled = torch.compile(model)
        return lambda: compiled(*inputs)
    if mode == "eager":
        return lambda: model(*inputs)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UPS):
            model(*inputs)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = model(*inputs)

    def replay() -> Any:
        graph.replay()
        return output

    return replay


def error(model: nn.Module, inputs: Sequence[torch.Tensor], backend: Backend) -> float:
    """||y - y64|| / ||y64|| of a model's output against the same model in float64; `model` is as PyTorch made it."""
    exact = copy.deepcopy(model).double()
    wanted = _tensors(exact(*(one.double() if one.is_floating_point() else one for one in inputs)))
    ours, taken = prepare(copy.deepcopy(model), backend, inputs)
    found = _tensors(ours(*taken))
    squares = [
        (float((one.double() - other).square().sum()), float(other.square().sum()))
        for one, other in zip(found, wanted, strict=True)
    ]
    return (sum(one for one, _ in squares) / sum(other for _, other in squares)) ** 0.5


def _tensors(output: Any) -> list[torch.Tensor]:
    return [one for one in _pytree.tree_leaves(output) if isinstance(one, torch.Tensor) and one.is_floating_point()]


@contextmanager
def seen_convolutions(model: nn.Module) -> Any:
    """A context that gives, for each module of a converted model that ran inside, by name: its last input's shape."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Callable[..., None]:
        return lambda module, inputs: shapes.__setitem__(name, tuple(inputs[0].shape))

    modules = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv1d | nn.Conv2d)]
    hooks = [module.register_forward_pre_hook(note(name)) for name, module in modules]
    try:
        yield shapes
    finally:
        for hook in hooks:
            hook.remove()

"""A network's forward pass: by PyTorch or with this project's convolutions; eagerly, compiled or as a CUDA graph."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from kernels.model.fusion import fold_batch_norm, fuse
from kernels.model.modules import convert
from workflow.networks.backends import Backend

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
    if backend.folded:
        # The weights that are folded are not kept beside those that they become.
        plain = model.cpu()
        model = fuse(plain, backend.numerics) if backend.numerics else fold_batch_norm(plain)
        model = model.to(inputs[0].device)
    elif backend.numerics:
        convert(model, backend.numerics)
    if not backend.channels_last:
        return model, list(inputs)
    images = [one.to(memory_format=torch.channels_last) if one.dim() == 4 else one for one in inputs]
    return model.to(memory_format=torch.channels_last), images  # type: ignore[call-overload]


def runner(model: nn.Module, inputs: Sequence[torch.Tensor], mode: str) -> Callable[[], Any]:
    """What runs the forward pass once and gives its output; that of a graph is overwritten by the next run."""
    if mode == "compile":
        compiled = torch.compile(model, dynamic=False)  # each batch has code of its own
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
    """The error of a backend's output (see `difference`); `model` is as PyTorch made it, and stays so."""
    wanted = exact(model, inputs)
    ours, taken = prepare(copy.deepcopy(model), backend, inputs)
    return difference(ours(*taken), wanted)


def exact(model: nn.Module, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The tensors of the output in float64, on the CPU; `model` is as PyTorch made it, and stays so."""
    double = copy.deepcopy(model).double()
    output = double(*(one.double() if one.is_floating_point() else one for one in inputs))
    return [one.cpu() for one in _tensors(output)]


def difference(output: Any, wanted: Sequence[torch.Tensor]) -> float:
    """||y - y64|| / ||y64|| of an output, on its first images if `wanted` has fewer."""
    squares = []
    for found, other in zip(_tensors(output), wanted, strict=True):
        reference = other.to(found.device)
        squares.append(
            (float((found[: len(other)].double() - reference).square().sum()), float(reference.square().sum()))
        )
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

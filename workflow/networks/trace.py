"""The convolutions of a PyTorch model, found by running it once.

On PyTorch's meta device tensors have sizes and no data, so that no weights are needed and no memory is taken. What is
recorded is what PyTorch is asked to compute, whether a module asks for it or a function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from workflow.networks.convolutions import Convolution, axes_of, reason
from workflow.networks.errors import ModelError

#: Of what PyTorch says of tensors without data.
_WITHOUT_DATA = (
    "meta tensor",
    "meta device",
    "data-dependent",
    "'Meta' backend",
    "Meta tensors",
    "aten::_local_scalar",
)


def run(model: torch.nn.Module, inputs: Sequence[torch.Tensor], called: str) -> list[tuple[str, Convolution]]:
    """(module, convolution) for every convolution of a forward pass, in the order in which they run.

    `called` is the model's name in messages. Raises ModelError if it does not run, or runs no convolution.
    """
    sizes = " and ".join("x".join(map(str, tensor.shape)) for tensor in inputs)
    with _module_names(model) as running, torch.no_grad(), _Recorder(running) as recorder:
        try:
            model.eval()(*inputs)
        except Exception as error:  # whatever a model of a user may raise
            said = first_line(error)
            if any(words in said for words in _WITHOUT_DATA) and inputs[0].is_meta:
                raise ModelError(
                    f"{called} asks for data, and runs on sizes alone: {said}; to run it on zeros, add --device cpu"
                ) from error
            where = f" in {running[-1]}" if running and running[-1] else ""
            raise ModelError(f"{called} does not run on an input of {sizes}{where}: {said}") from error
    if not recorder.found:
        raise ModelError(f"{called} runs no convolution on an input of {sizes}")
    return recorder.found


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


@contextmanager
def _module_names(model: torch.nn.Module) -> Iterator[list[str]]:
    """The names of the modules that are running, the innermost last."""
    running: list[str] = []
    hooks = []
    for name, module in model.named_modules():
        hooks += [
            module.register_forward_pre_hook(lambda *_, name=name: running.append(name)),
            module.register_forward_hook(lambda *_: running.pop() and None),
        ]
    try:
        yield running
    finally:
        for hook in hooks:
            hook.remove()


class _Recorder(TorchDispatchMode):
    """Records every convolution that PyTorch's dispatcher passes on."""

    def __init__(self, running: Sequence[str]) -> None:
        super().__init__()
        self.found: list[tuple[str, Convolution]] = []
        self._running = running

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name
        if name in ("aten::convolution", "aten::_convolution"):
            self._record(_convolution(args, result))
        elif name == "torchvision::deform_conv2d":
            self._record(_deformable(args, result))
        return result

    def _record(self, convolution: Convolution) -> None:
        self.found.append((self._running[-1] if self._running else "", convolution))


def _convolution(args: Sequence[Any], result: torch.Tensor) -> Convolution:
    """A call of aten::convolution."""
    x, f, _, stride, padding, dilation, is_transposed, _, groups = args[:9]
    kernel, dimensions = f.shape[2:], x.dim() - 2
    stride, padding, dilation = (
        list(given) * (dimensions if len(given) == 1 else 1) for given in (stride, padding, dilation)
    )
    return Convolution(
        in_channels=x.shape[1],
        out_channels=result.shape[1],
        axes=axes_of(x.shape[2:], kernel, stride, [(sides, sides) for sides in padding], dilation),
        groups=groups,
        images=x.shape[0],
        unsupported=reason(dimensions, is_transposed),
        outputs=tuple(result.shape[2:]) if is_transposed else (),
    )


def _deformable(args: Sequence[Any], result: torch.Tensor) -> Convolution:
    """A call of torchvision's deformable convolution, whose taps are where the data says."""
    x, f = args[:2]
    stride, padding, dilation, groups = args[5:7], args[7:9], args[9:11], args[11]
    return Convolution(
        in_channels=x.shape[1],
        out_channels=result.shape[1],
        axes=axes_of(x.shape[2:], f.shape[2:], stride, [(sides, sides) for sides in padding], dilation),
        groups=groups,
        images=x.shape[0],
        unsupported="deformable convolution",
    )

"""Calls that go past PyTorch's dispatcher, which would cost more than the launch of a kernel.

Only where nothing that the dispatcher serves is at work: gradients, tracing, transforms, modes, the profiler. A call
with the weight and the sizes of an earlier one is that one again, with other addresses.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import ref

import torch
from torch.autograd import forward_ad, profiler

from . import call, tuning, weights
from .recorded import Recorded

_PLAIN = (torch.Tensor, torch.nn.Parameter)
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that was made with this weight, at this address, and what was prepared of it."""

    found: Recorded
    shape: tuple[int, ...]
    weight: ref[torch.Tensor]
    address: int
    kept: weights.Kept


#: What computes a call, and the output's shape. Few: those of a model's layers.
_KNOWN: dict[Key, tuple[Recorded, tuple[int, ...]]] = {}
#: With the weight's identity in place of its sizes.
_CALLS: dict[Key, _Call] = {}
_MOST = 4096


def _state() -> list[Callable[[], Any]] | None:
    """What tells of modes, transforms and tracing; None if this PyTorch does not say."""
    try:
        return [
            torch._C._len_torch_dispatch_stack,
            torch._C._len_torch_function_stack,
            torch._C._functorch.peek_interpreter_stack,
            torch._C._get_tracing_state,
        ]
    except AttributeError:
        return None


_STATE = _state()


def is_plain(*tensors: torch.Tensor | None) -> bool:
    """Whether an operator on these tensors does nothing but compute."""
    if _STATE is None or profiler._is_profiler_enabled or forward_ad._current_level >= 0:
        return False
    for state in _STATE:
        if state():
            return False
    gradients = torch.is_grad_enabled()
    for one in tensors:
        if one is not None and (type(one) not in _PLAIN or (gradients and one.requires_grad)):
            return False
    return True


def key_of(
    dimensions: int,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
    where: tuple[Any, ...],
    relu: bool,
    numerics: str,
) -> Key:
    """The key of a plain call: all that it depends on but values; `where` is stride, padding, dilation and groups."""
    device = x.device
    return (
        (id(weight), weight.shape, x.shape, x.dtype, device, dimensions, relu, numerics)
        + where
        + (None if bias is None else (bias.shape, bias.dtype, bias.device),)
        + (None if residual is None else (residual.shape, residual.dtype, residual.device),)
        + (torch.is_autocast_enabled(device.type), tuning.is_on(device))
    )


def compute(
    key: Key, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, residual: torch.Tensor | None
) -> torch.Tensor | None:
    """Y of a call that is known; else None."""
    try:
        made = _CALLS.get(key)
    except TypeError:  # something that is no number, as PyTorch will say
        return None
    if made is not None and made.weight() is weight:
        kept = made.kept
        is_same = weight._version == kept.version and weight.data_ptr() == made.address and weight.is_contiguous()
        if is_same and _is_current(x.device):
            return call.compute(made.found, x, weight, kept.prepared, bias, residual, made.shape)
    known = _KNOWN.get(_by_sizes(key, weight))
    return None if known is None else run(key, *known, x, weight, bias, residual)


def know(key: Key, found: Recorded, shape: tuple[int, ...], weight: torch.Tensor) -> None:
    """Remember what computes a call."""
    _remember(_KNOWN, _by_sizes(key, weight), (found, shape), weight.device)


def run(
    key: Key,
    found: Recorded,
    shape: tuple[int, ...],
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
) -> torch.Tensor:
    """Y, by what computes it; the call is remembered if its weight need not be prepared again."""
    with call.on(x.device):
        y = call.run(found, x, weight, bias, residual, shape)
    if (kept := weights.kept(found, weight)) is not None:
        its = ref(weight, lambda _: _CALLS.pop(key, None))  # what was prepared goes with it
        _remember(_CALLS, key, _Call(found, shape, its, weight.data_ptr(), kept), weight.device)
    return y


def _by_sizes(key: Key, weight: torch.Tensor) -> Key:
    return (weight.dtype, weight.device, *key[1:])


def _remember(what: dict[Key, Any], key: Key, value: Any, device: torch.device) -> None:
    """Not while a CUDA graph is captured, when what is found need not be the best."""
    if tuning.is_capturing(device):
        return
    with suppress(TypeError):  # see compute
        if len(what) >= _MOST:
            what.clear()
        what[key] = value


def _is_current(device: torch.device) -> bool:
    """Whether a device is the current one, if it is a GPU."""
    return device.type != "cuda" or device.index == torch._C._cuda_getDevice()

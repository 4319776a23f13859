"""Calls that go past PyTorch's dispatcher, which would cost more than the launch of a kernel.

Only where nothing that the dispatcher serves is at work: gradients, tracing, transforms, modes, the profiler.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch.autograd import forward_ad, profiler

from . import call
from .recorded import Recorded

_PLAIN = (torch.Tensor, torch.nn.Parameter)
#: What was called with -> what computes it, and the output's shape. Few: the shapes of a model's layers.
_KNOWN: dict[Hashable, tuple[Recorded, tuple[int, ...]]] = {}
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
        if one is None:
            continue
        if type(one) not in _PLAIN or (gradients and one.requires_grad):
            return False
    return True


def known(key: Hashable) -> tuple[Recorded, tuple[int, ...]] | None:
    """What computes a call that was made before: `key` has all that it depends on, shapes and types included."""
    try:
        return _KNOWN.get(key)
    except TypeError:  # something that is no number, as PyTorch will say
        return None


def know(key: Hashable, found: Recorded, shape: tuple[int, ...]) -> None:
    """Remember it."""
    if len(_KNOWN) >= _MOST:
        _KNOWN.clear()
    _KNOWN[key] = found, shape


def compute(
    known: tuple[Recorded, tuple[int, ...]],
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
) -> torch.Tensor:
    """Y, on X's device."""
    found, shape = known
    if not x.is_cuda or x.device.index == torch.cuda.current_device():
        return call.run(found, x, weight, bias, residual, shape)
    with torch.cuda.device(x.device):
        return call.run(found, x, weight, bias, residual, shape)

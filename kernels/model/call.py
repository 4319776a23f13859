"""A convolution of tensors by a kernel: which one takes it, and its call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch

from ..problem import ConvProblem, ProblemError
from . import dispatch, weights
from .recorded import Fused, Prepared, Recorded

#: A kernel may read so many bytes at once.
VECTOR_BYTES = 16


def find(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    relu: bool,
    numerics: str,
) -> Recorded | str:
    """What computes it, or why nothing does. The arguments are those of the operator `im2win::conv2d`."""
    tensors = [one for one in (x, weight, bias, residual) if one is not None]
    if wrong := {str(one.dtype) for one in tensors} - {"torch.float32"}:
        return f"the kernels take torch.float32, not {', '.join(sorted(wrong))}"
    if not dispatch.takes(x.device) or any(one.device != x.device for one in tensors):
        return "the tensors must be on one NVIDIA GPU"
    if x.numel() == 0 or weight.numel() == 0:
        return "there is nothing to compute"
    if weight.shape[1] * groups != x.shape[1] or (bias is not None and bias.shape != weight.shape[:1]):
        return "the sizes do not fit"
    problem = _problem(x.shape, weight.shape, tuple(stride), tuple(padding), tuple(dilation), groups)
    if isinstance(problem, str):
        return problem
    return dispatch.find(problem, x.device, numerics, Fused(bias is not None, residual is not None, relu))


@lru_cache(maxsize=4096)
def _problem(x: Any, weight: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> ConvProblem | str:
    """The problem of these shapes, or why there is none; checking it takes longer than a call should."""
    above, below, left, right = padding
    (batch, channels, height, width), (out_channels, _, kernel_h, kernel_w) = x, weight
    sizes = (batch, channels, height, width, out_channels, kernel_h, kernel_w)
    try:
        return ConvProblem(*sizes, stride, ((above, below), (left, right)), dilation, groups)
    except ProblemError as error:
        return str(error)


def run(
    found: Recorded,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
    shape: Sequence[int],
) -> torch.Tensor:
    """Y, of `shape`, which has as many values as the convolution's; the device of X is the current one."""
    kept = _as_read(weight)
    # A copy is a new tensor at each call, of which nothing can be kept.
    prepared = weights.prepared(found, kept) if kept is weight else found.prepare(kept)
    return compute(found, x, kept, prepared, bias, residual, shape)


def compute(
    found: Recorded,
    x: torch.Tensor,
    weight: torch.Tensor,
    prepared: Prepared,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
    shape: Sequence[int],
) -> torch.Tensor:
    """The same with a weight that was `prepared`."""
    y = x.new_empty(shape)
    bias = None if bias is None else bias.contiguous()
    found.compute(_as_read(x), weight, y, prepared, bias, None if residual is None else _as_read(residual))
    return y


def _as_read(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor as the kernels read it, in vectors: contiguous, and aligned to them; a copy if it is not."""
    tensor = tensor.contiguous()
    return tensor if tensor.data_ptr() % VECTOR_BYTES == 0 else tensor.clone()


@contextmanager
def on(device: torch.device) -> Iterator[None]:
    """A context in which `device` is the current one, if it is a GPU."""
    if device.type != "cuda" or device.index == torch.cuda.current_device():
        yield
        return
    with torch.cuda.device(device):
        yield

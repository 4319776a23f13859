"""`conv1d` and `conv2d` as torch.nn.functional has them, by this project's kernels: the operator `im2win::conv2d`.

FP32 tensors on a GPU go to the fastest kernel of the class of arithmetic that is asked for, everything else to
PyTorch's own convolution: other types, the CPU, what no kernel takes, and whatever runs under autocast, which chooses a
type itself. Backward passes are PyTorch's, in strict FP32. Outputs are contiguous (NCHW), whatever the input's format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch.nn import functional

from ..plan import UnsupportedError
from ..problem import ConvProblem, ProblemError
from . import dispatch, weights

#: stride, padding (above, below, left, right), dilation, groups, class of arithmetic, whether PyTorch may compute it.
_ARGUMENTS = "SymInt[] stride, SymInt[] padding, SymInt[] dilation, SymInt groups"
_SCHEMA = f"(Tensor x, Tensor weight, Tensor? bias, {_ARGUMENTS}, str numerics, bool fallback) -> Tensor"
_BACKWARD = f"(Tensor gradient, Tensor x, Tensor weight, {_ARGUMENTS}, bool[] wanted) -> (Tensor, Tensor, Tensor)"

#: A kernel may read so many bytes at once.
VECTOR_BYTES = 16

Numbers = int | Sequence[int]


def conv2d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    *,
    numerics: str = dispatch.NUMERICS[0],
    fallback: bool = True,
) -> torch.Tensor:
    """`torch.nn.functional.conv2d`: input (N, C, H, W) or (C, H, W), weight (Cout, C / groups, Hf, Wf), bias (Cout).

    `numerics` is `fp32_accurate` (tensor cores with error compensation, no less accurate than cuDNN's FP32) or
    `strict_fp32` (every multiply and add is IEEE FP32). Where no kernel takes the convolution PyTorch computes it or,
    without `fallback`, UnsupportedError says why. Raises what PyTorch raises for tensors that do not fit.
    """
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups, numerics, fallback)


def conv1d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    *,
    numerics: str = dispatch.NUMERICS[0],
    fallback: bool = True,
) -> torch.Tensor:
    """`torch.nn.functional.conv1d`: input (N, C, L) or (C, L), weight (Cout, C / groups, K); else as `conv2d`."""
    return _convolve(1, input, weight, bias, stride, padding, dilation, groups, numerics, fallback)


def _convolve(
    dimensions: int,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: Numbers,
    padding: Numbers | str,
    dilation: Numbers,
    groups: int,
    numerics: str,
    fallback: bool,
) -> torch.Tensor:
    if numerics not in dispatch.NUMERICS:
        raise ValueError(f"numerics is {numerics!r}; it must be one of {', '.join(dispatch.NUMERICS)}")
    by_torch = functional.conv2d if dimensions == 2 else functional.conv1d
    batched = x.dim() == dimensions + 2
    strides, dilations = _several(stride, dimensions), _several(dilation, dimensions)
    sides = _sides(padding, dimensions, strides, dilations, weight)
    wrong = sides is None or strides is None or dilations is None or weight.dim() != dimensions + 2
    if wrong or not (batched or x.dim() == dimensions + 1) or torch.is_autocast_enabled(x.device.type):
        # PyTorch says what is wrong; or takes the type that autocast chooses.
        return by_torch(x, weight, bias, stride, padding, dilation, groups)
    assert sides is not None and strides is not None and dilations is not None
    x = x if batched else x.unsqueeze(0)
    if dimensions == 1:
        x, weight = x.unsqueeze(2), weight.unsqueeze(2)
        strides, dilations, sides = [1, *strides], [1, *dilations], [0, 0, *sides]
    y = torch.ops.im2win.conv2d(x, weight, bias, strides, sides, dilations, groups, numerics, fallback)
    y = y.squeeze(2) if dimensions == 1 else y
    return y if batched else y.squeeze(0)


def _several(value: Any, count: int) -> list[int] | None:
    """`count` numbers of one or of as many; None for anything else."""
    numbers: list[Any] = [value] if isinstance(value, int | torch.SymInt) else list(value)
    return numbers * count if len(numbers) == 1 else numbers if len(numbers) == count else None


def _sides(
    padding: Any, dimensions: int, strides: list[int] | None, dilations: list[int] | None, weight: torch.Tensor
) -> list[int] | None:
    """Padding before and after, for each direction; None where PyTorch takes none such."""
    if not isinstance(padding, str):
        numbers = _several(padding, dimensions)
        return None if numbers is None else [side for number in numbers for side in (number, number)]
    if padding == "valid":
        return [0, 0] * dimensions
    if padding != "same" or dilations is None or strides != [1] * dimensions:
        return None
    reach = [dilation * (size - 1) for dilation, size in zip(dilations, weight.shape[2:], strict=False)]
    return [side for one in reach for side in (one // 2, one - one // 2)]  # PyTorch pads the end more


@torch.library.custom_op("im2win::conv2d", mutates_args=(), schema=_SCHEMA)
def _operator(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    numerics: str,
    fallback: bool,
) -> torch.Tensor:
    with on(x.device):
        found = _find(x, weight, bias, stride, padding, dilation, groups, numerics)
        if not isinstance(found, str):
            return _by_kernel(found, x, weight, bias)
    if not fallback:
        raise UnsupportedError(f"no kernel takes this convolution, and PyTorch was not to: {found}")
    return _by_pytorch(x, weight, bias, stride, padding, dilation, groups)


def _find(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    numerics: str,
) -> dispatch.Recorded | str:
    """What computes it, or why nothing does."""
    tensors = [one for one in (x, weight, bias) if one is not None]
    if wrong := {str(one.dtype) for one in tensors} - {"torch.float32"}:
        return f"the kernels take torch.float32, not {', '.join(sorted(wrong))}"
    if not dispatch.takes(x.device) or any(one.device != x.device for one in tensors):
        return "the tensors must be on one NVIDIA GPU"
    if x.numel() == 0 or weight.numel() == 0:
        return "there is nothing to compute"
    if weight.shape[1] * groups != x.shape[1] or (bias is not None and bias.shape != weight.shape[:1]):
        return "the sizes do not fit"
    problem = _problem(x.shape, weight.shape, tuple(stride), tuple(padding), tuple(dilation), groups)
    return problem if isinstance(problem, str) else dispatch.find(problem, x.device, numerics)


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


def _by_kernel(
    found: dispatch.Recorded, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    x, kept = _as_read(x), _as_read(weight)
    # A copy is a new tensor at each call, of which nothing can be kept.
    prepared = weights.prepared(found, kept) if kept is weight else found.prepare(kept)
    y = torch.empty(found.output_shape, device=x.device)
    found.compute(x, kept, y, prepared)
    return y if bias is None else y.add_(bias.view(-1, 1, 1))


def _as_read(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor as the kernels read it, in vectors: contiguous, and aligned to them; a copy if it is not."""
    tensor = tensor.contiguous()
    return tensor if tensor.data_ptr() % VECTOR_BYTES == 0 else tensor.clone()


def _by_pytorch(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> torch.Tensor:
    x, even = _evenly(x, padding)
    with strict_fp32(x):
        return functional.conv2d(x, weight, bias, stride, even, dilation, groups).contiguous()


def _evenly(x: torch.Tensor, padding: list[int]) -> tuple[torch.Tensor, list[int]]:
    """X and padding as PyTorch takes it, the same before and after; what is not is written out."""
    above, below, left, right = padding
    if (above, left) == (below, right):
        return x, [above, left]
    return functional.pad(x, (left, right, above, below)), [0, 0]


@_operator.register_fake
def _(x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any, *rest: Any) -> Any:
    x, even = _evenly(x, padding)
    y = functional.conv2d(x, weight, bias, stride, even, dilation, groups)
    return y.new_empty(y.shape)


@torch.library.custom_op("im2win::conv2d_backward", mutates_args=(), schema=_BACKWARD)
def _backward_operator(
    gradient: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    wanted: list[bool],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    padded, even = _evenly(x, padding)
    with strict_fp32(x):
        of_x, of_weight, of_bias = torch.ops.aten.convolution_backward(
            gradient, padded, weight, [weight.shape[0]], stride, even, dilation, False, [0, 0], groups, wanted
        )
    if of_x is not None and padded is not x:
        of_x = of_x[:, :, padding[0] : padding[0] + x.shape[2], padding[2] : padding[2] + x.shape[3]]
    # Every output is a tensor of its own; what is not wanted is empty.
    return tuple(x.new_empty(0) if one is None else one.contiguous() for one in (of_x, of_weight, of_bias))  # type: ignore[return-value]


@_backward_operator.register_fake
def _(gradient: Any, x: Any, weight: Any, stride: Any, padding: Any, dilation: Any, groups: Any, wanted: Any) -> Any:
    shapes = (x.shape, weight.shape, weight.shape[:1])
    return tuple(x.new_empty(shape if one else 0) for shape, one in zip(shapes, wanted, strict=True))


def _set_up(ctx: Any, inputs: Any, output: Any) -> None:
    x, weight, bias, *ctx.arguments = inputs
    ctx.save_for_backward(x, weight)
    ctx.has_bias = bias is not None


def _backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    stride, padding, dilation, groups, numerics, fallback = ctx.arguments
    wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], ctx.has_bias and ctx.needs_input_grad[2]]
    x, weight = ctx.saved_tensors
    found = torch.ops.im2win.conv2d_backward(gradient, x, weight, stride, padding, dilation, groups, wanted)
    gradients = [one if needed else None for one, needed in zip(found, wanted, strict=True)]
    return (*gradients, None, None, None, None, None, None)


_operator.register_autograd(_backward, setup_context=_set_up)


@contextmanager
def strict_fp32(x: torch.Tensor) -> Iterator[None]:
    """A context in which cuDNN computes FP32 convolutions of GPU tensors such as `x` without TF32."""
    cudnn = torch.backends.cudnn
    if not (x.is_cuda and cudnn.allow_tf32):
        yield
        return
    others = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "benchmark_limit", "deterministic")}
    with cudnn.flags(**others, allow_tf32=False):  # also where single switches may not be set
        yield


@contextmanager
def on(device: torch.device) -> Iterator[None]:
    """A context in which `device` is the current one, if it is a GPU."""
    if device.type != "cuda" or device.index == torch.cuda.current_device():
        yield
        return
    with torch.cuda.device(device):
        yield

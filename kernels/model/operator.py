"""`conv1d` and `conv2d` as torch.nn.functional has them, by this project's kernels: the operator `im2win::conv2d`.

FP32 tensors on a GPU go to the fastest kernel of the class of arithmetic that is asked for, everything else to
PyTorch's own convolution: other types, the CPU, what no kernel takes, and whatever runs under autocast, which chooses a
type itself. Backward passes are PyTorch's, in strict FP32. Outputs are contiguous (NCHW), whatever the input's format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional

from ..plan import UnsupportedError
from . import call, dispatch, eager

#: stride, padding (above, below, left, right), dilation, groups.
_ARGUMENTS = "SymInt[] stride, SymInt[] padding, SymInt[] dilation, SymInt groups"
#: After them whether what is below zero becomes zero, the class of arithmetic, and whether PyTorch may compute it.
_SCHEMA = (
    f"(Tensor x, Tensor weight, Tensor? bias, Tensor? residual, {_ARGUMENTS}, bool relu, str numerics, bool fallback)"
    " -> Tensor"
)
_BACKWARD = f"(Tensor gradient, Tensor x, Tensor weight, {_ARGUMENTS}, bool[] wanted) -> (Tensor, Tensor, Tensor)"

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
    residual: torch.Tensor | None = None,
    relu: bool = False,
    numerics: str = dispatch.NUMERICS[0],
    fallback: bool = True,
) -> torch.Tensor:
    """`torch.nn.functional.conv2d`: input (N, C, H, W) or (C, H, W), weight (Cout, C / groups, Hf, Wf), bias (Cout).

    `residual` is added to the output, as by `+`; with `relu` what is below zero becomes zero after that. Kernels on
    tensor cores do both, and add the bias, before they write the output, if `residual` has its shape and type.

    `numerics` is `fp32_accurate` (tensor cores with error compensation, no less accurate than cuDNN's FP32) or
    `strict_fp32` (every multiply and add is IEEE FP32). Where no kernel takes the convolution PyTorch computes it or,
    without `fallback`, UnsupportedError says why. Raises what PyTorch raises for tensors that do not fit, and
    ValueError for an unknown `numerics`.
    """
    where = (stride, padding, dilation, groups)
    return _convolve(2, input, weight, bias, residual, *where, relu, numerics, fallback)


def conv1d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    *,
    residual: torch.Tensor | None = None,
    relu: bool = False,
    numerics: str = dispatch.NUMERICS[0],
    fallback: bool = True,
) -> torch.Tensor:
    """`torch.nn.functional.conv1d`: input (N, C, L) or (C, L), weight (Cout, C / groups, K); else as `conv2d`."""
    where = (stride, padding, dilation, groups)
    return _convolve(1, input, weight, bias, residual, *where, relu, numerics, fallback)


def _convolve(
    dimensions: int,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
    stride: Numbers,
    padding: Numbers | str,
    dilation: Numbers,
    groups: int,
    relu: bool,
    numerics: str,
    fallback: bool,
) -> torch.Tensor:
    key = None
    if not torch.compiler.is_compiling() and eager.is_plain(x, weight, bias, residual):
        where: tuple[Any, ...] = (stride, padding, dilation, groups)
        if list in map(type, where):
            where = tuple(tuple(one) if isinstance(one, list) else one for one in where)
        key = eager.key_of(dimensions, x, weight, bias, residual, where, relu, numerics)
        if (known := eager.compute(key, x, weight, bias, residual)) is not None:
            return known
    if numerics not in dispatch.NUMERICS:
        raise ValueError(f"numerics is {numerics!r}; it must be one of {', '.join(dispatch.NUMERICS)}")
    by_torch = functional.conv2d if dimensions == 2 else functional.conv1d
    batched = x.dim() == dimensions + 2
    strides, dilations = _several(stride, dimensions), _several(dilation, dimensions)
    sides = _sides(padding, dimensions, strides, dilations, weight)
    wrong = sides is None or not strides or 0 in strides or dilations is None or weight.dim() != dimensions + 2
    if wrong or not (batched or x.dim() == dimensions + 1) or torch.is_autocast_enabled(x.device.type):
        # PyTorch says what is wrong; or takes the type that autocast chooses.
        return _finish(by_torch(x, weight, bias, stride, padding, dilation, groups), residual, relu)
    assert sides is not None and strides is not None and dilations is not None
    shape = _output_shape(dimensions, x, weight, strides, sides, dilations)
    if residual is not None and (tuple(residual.shape) != shape or residual.dtype != x.dtype):
        y = _convolve(
            dimensions, x, weight, bias, None, *(stride, padding, dilation, groups), False, numerics, fallback
        )
        return _finish(y, residual, relu)
    given, x = x, x if batched else x.unsqueeze(0)
    given_residual, residual = residual, residual if batched or residual is None else residual.unsqueeze(0)
    planes = weight
    if dimensions == 1:
        x, planes = x.unsqueeze(2), weight.unsqueeze(2)
        residual = None if residual is None else residual.unsqueeze(2)
        strides, dilations, sides = [1, *strides], [1, *dilations], [0, 0, *sides]
    where = (strides, sides, dilations, groups)
    if key is not None:
        with call.on(x.device):
            found = call.find(x, planes, bias, residual, *where, relu, numerics)
        if not isinstance(found, str):
            eager.know(key, found, shape, weight)
            return eager.run(key, found, shape, given, weight, bias, given_residual)
    y = torch.ops.im2win.conv2d(x, planes, bias, residual, *where, relu, numerics, fallback)
    y = y.squeeze(2) if dimensions == 1 else y
    return y if batched else y.squeeze(0)


def _output_shape(
    dimensions: int, x: torch.Tensor, weight: torch.Tensor, strides: list[int], sides: list[int], dilations: list[int]
) -> tuple[int, ...]:
    """The output's, batched as X is; no size may be checked yet."""
    sizes = zip(x.shape[-dimensions:], weight.shape[2:], strides, sides[::2], sides[1::2], dilations, strict=True)
    outputs = [
        (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, stride, before, after, dilation in sizes
    ]
    return (*x.shape[: -dimensions - 1], weight.shape[0], *outputs)


def _check_residual(residual: torch.Tensor | None, shape: Sequence[int]) -> None:
    if residual is not None and tuple(residual.shape) != tuple(shape):
        raise ValueError(f"residual is {list(residual.shape)}; it must have the output's shape, {list(shape)}")


def _finish(y: torch.Tensor, residual: torch.Tensor | None, relu: bool) -> torch.Tensor:
    """Residual and ReLU by PyTorch, on tensors that may have gradients."""
    y = y if residual is None else y + residual
    return functional.relu(y) if relu else y


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
    residual: torch.Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    relu: bool,
    numerics: str,
    fallback: bool,
) -> torch.Tensor:
    with call.on(x.device):
        found = call.find(x, weight, bias, residual, stride, padding, dilation, groups, relu, numerics)
        if not isinstance(found, str):
            _check_residual(residual, found.output_shape)
            return call.run(found, x, weight, bias, residual, found.output_shape)
    if not fallback:
        raise UnsupportedError(f"no kernel takes this convolution, and PyTorch was not to: {found}")
    y = _by_pytorch(x, weight, bias, stride, padding, dilation, groups)
    _check_residual(residual, y.shape)
    return _finish(y, residual, relu)


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
def _(x: Any, weight: Any, bias: Any, residual: Any, stride: Any, padding: Any, *rest: Any) -> Any:
    dilation, groups, *_ = rest
    x, even = _evenly(x, padding)
    y = functional.conv2d(x, weight, bias, stride, even, dilation, groups)
    _check_residual(residual, y.shape)
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
    x, weight, bias, _, *ctx.arguments, relu, _, _ = inputs
    ctx.save_for_backward(x, weight, output if relu else None)
    ctx.has_bias = bias is not None


def _backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], ctx.has_bias and ctx.needs_input_grad[2]]
    x, weight, rectified = ctx.saved_tensors
    if rectified is not None:
        gradient = torch.where(rectified > 0, gradient, 0)
    found = torch.ops.im2win.conv2d_backward(gradient, x, weight, *ctx.arguments, wanted)
    gradients = [one if needed else None for one, needed in zip(found, wanted, strict=True)]
    of_residual = gradient if ctx.needs_input_grad[3] else None
    return (*gradients, of_residual, *(None,) * (len(ctx.arguments) + 3))


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

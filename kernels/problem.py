"""The convolution problem: its sizes, its work and its least memory traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

FLOAT_BYTES = 4

#: One number for rows and columns: (rows, columns).
Pair = tuple[int, int]


class ProblemError(ValueError):
    """A convolution problem that cannot exist; the message names the size at fault."""


@dataclass(frozen=True)
class Axis:
    """One direction of a convolution: its rows, or its columns. All in elements."""

    size: int
    kernel: int
    stride: int = 1
    #: Zeros before the first element and after the last one.
    before: int = 0
    after: int = 0
    dilation: int = 1

    @property
    def padded(self) -> int:
        return self.before + self.size + self.after

    @property
    def reach(self) -> int:
        """Elements from a window's first to its last, both included."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def outputs(self) -> int:
        return (self.padded - self.reach) // self.stride + 1

    def taps_inside(self, output: int) -> range:
        """The taps of an output's window that lie inside the input, not in its padding."""
        first = output * self.stride - self.before
        low = max(0, -(first // self.dilation))
        high = min(self.kernel, -(-(self.size - first) // self.dilation))
        return range(low, max(low, high))


@dataclass(frozen=True)
class ConvProblem:
    """A forward convolution in FP32, NCHW (paper, section 2), as `torch.nn.functional.conv2d` computes it.

    Input X[batch][in_channels][height][width], filter F[out_channels][in_channels / groups][kernel_h][kernel_w],
    output Y[batch][out_channels][out_height][out_width]. All sizes are in elements. A convolution in one dimension has
    a single row. `stride` and `dilation` are one number or (rows, columns); `padding` is one number, (rows, columns) or
    ((above, below), (left, right)). All three are kept in their longest form.

    Raises ProblemError if a size is not a positive integer (a padding: not a natural number), the groups do not divide
    the channels, or the filter exceeds its padded input.
    """

    batch: int
    in_channels: int
    height: int
    width: int
    out_channels: int
    kernel_h: int
    kernel_w: int
    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    groups: int = 1

    if TYPE_CHECKING:  # as many forms as __post_init__ takes

        def __init__(
            self,
            batch: int,
            in_channels: int,
            height: int,
            width: int,
            out_channels: int,
            kernel_h: int,
            kernel_w: int,
            stride: int | Pair = 1,
            padding: int | Pair | tuple[Pair, Pair] = 0,
            dilation: int | Pair = 1,
            groups: int = 1,
        ) -> None: ...

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name not in _PER_AXIS:
                _check(field.name, getattr(self, field.name), 1)
        # Frozen for everybody else; from here on they have one form.
        object.__setattr__(self, "stride", _pair("stride", self.stride, 1))
        object.__setattr__(self, "dilation", _pair("dilation", self.dilation, 1))
        object.__setattr__(self, "padding", _padding(self.padding))
        for channels in ("in_channels", "out_channels"):
            if getattr(self, channels) % self.groups:
                raise ProblemError(
                    f"groups is {self.groups} but {channels} is {getattr(self, channels)}: groups must divide it"
                )
        for kernel, size, axis in (("kernel_h", "height", self.rows), ("kernel_w", "width", self.columns)):
            if axis.reach > axis.padded:
                reach = f" and spans {axis.reach} with dilation {axis.dilation}" if axis.dilation > 1 else ""
                padding = f" and {axis.before} + {axis.after} of padding" if axis.before + axis.after else ""
                raise ProblemError(
                    f"{kernel} is {axis.kernel}{reach} but the input's {size} is only {axis.size}{padding}: "
                    "the filter must fit into its padded input"
                )
        # With one output row or column a longer stride changes nothing: it is a mistake in the layer.
        if all(axis.stride > axis.padded for axis in (self.rows, self.columns)):
            stride = self.stride[0] if self.stride[0] == self.stride[1] else self.stride
            raise ProblemError(
                f"stride is {stride} but the padded input is only {self.rows.padded} x {self.columns.padded}: "
                "a stride beyond the input leaves no second output in either direction"
            )

    @classmethod
    def from_layer(cls, layer: Mapping[str, Any], batch: int) -> ConvProblem:
        """The convolution of a layer: a mapping with the sizes by their names here, as conf/layer/ and results hold it.

        Raises ProblemError if there can be no such convolution.
        """
        sizes = {field.name: layer[field.name] for field in fields(cls) if field.name in layer}
        return cls(**sizes | {"batch": batch})

    @property
    def rows(self) -> Axis:
        return Axis(self.height, self.kernel_h, self.stride[0], *self.padding[0], self.dilation[0])

    @property
    def columns(self) -> Axis:
        return Axis(self.width, self.kernel_w, self.stride[1], *self.padding[1], self.dilation[1])

    @property
    def out_height(self) -> int:
        return self.rows.outputs

    @property
    def out_width(self) -> int:
        return self.columns.outputs

    @property
    def is_padded(self) -> bool:
        return any(sum(sides) for sides in self.padding)

    @property
    def is_padded_evenly(self) -> bool:
        """Whether each direction has the same padding before as after, which is all that cuDNN and PyTorch take."""
        return all(before == after for before, after in self.padding)

    @property
    def is_general(self) -> bool:
        """Whether it has padding, dilation or groups, for which many kernels have an instance of their own."""
        return self.is_padded or self.dilation != (1, 1) or self.groups > 1

    @property
    def is_depthwise(self) -> bool:
        """Whether each input channel is convolved by itself."""
        return self.groups == self.in_channels and self.groups > 1

    @property
    def group_in_channels(self) -> int:
        return self.in_channels // self.groups

    @property
    def group_out_channels(self) -> int:
        return self.out_channels // self.groups

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        return (self.batch, self.in_channels, self.height, self.width)

    @property
    def filter_shape(self) -> tuple[int, int, int, int]:
        return (self.out_channels, self.group_in_channels, self.kernel_h, self.kernel_w)

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        return (self.batch, self.out_channels, self.out_height, self.out_width)

    @property
    def window_tensor_shape(self) -> tuple[int, int, int, int]:
        """Shape of the im2win tensor I[batch][in_channels][out_height][width * kernel_h] (section 3.1).

        The width is that of the padded input: padding is stored as zeros.
        """
        return (self.batch, self.in_channels, self.out_height, self.columns.padded * self.kernel_h)

    @property
    def gemm_shape(self) -> tuple[int, int, int]:
        """(M, N, K) of the equivalent matrix product: M = Cout, N = batch * Ho * Wo, K = Cin / groups * Hf * Wf.

        With groups it is one product a group, of M / groups rows each.
        """
        return (
            self.out_channels,
            self.batch * self.out_height * self.out_width,
            self.group_in_channels * self.kernel_h * self.kernel_w,
        )

    @property
    def flops(self) -> int:
        """Floating-point operations of the direct convolution: one multiply and one add per product, zeros included."""
        m, n, k = self.gemm_shape
        return 2 * m * n * k

    @property
    def flops_without_padding(self) -> int:
        """Those of `flops` that are left once products with a zero of the padding are skipped."""
        inside = [
            sum(len(axis.taps_inside(output)) for output in range(axis.outputs)) for axis in (self.rows, self.columns)
        ]
        return 2 * self.batch * self.out_channels * self.group_in_channels * inside[0] * inside[1]

    @property
    def tensor_bytes(self) -> int:
        """Bytes of X, F and Y: what any algorithm must hold, and the least that it must move."""
        total = 0
        for n, c, h, w in (self.input_shape, self.filter_shape, self.output_shape):
            total += n * c * h * w
        return FLOAT_BYTES * total

    @property
    def window_tensor_bytes(self) -> int:
        n, c, h, w = self.window_tensor_shape
        return FLOAT_BYTES * n * c * h * w


#: Fields that have a number, or several, for each axis.
_PER_AXIS = ("stride", "padding", "dilation")


def _check(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        kind = "a positive integer" if least else "0 or a positive integer"
        raise ProblemError(f"{name} is {value!r}; it must be {kind}")


def _is_pair(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2


def _pair(name: str, value: Any, least: int) -> Pair:
    """(rows, columns) of one number or two."""
    if not _is_pair(value):
        if isinstance(value, Sequence):
            raise ProblemError(f"{name} is {value!r}; it must be one number, or two: [rows, columns]")
        value = (value, value)
    for one in value:
        _check(name, one, least)
    return (value[0], value[1])


def _padding(value: Any) -> tuple[Pair, Pair]:
    """((above, below), (left, right)) of one number, two, or two pairs."""
    if _is_pair(value):
        return (_pair("padding", value[0], 0), _pair("padding", value[1], 0))
    if isinstance(value, Sequence):
        raise ProblemError(
            f"padding is {value!r}; it must be one number, [rows, columns] or [[above, below], [left, right]]"
        )
    sides = _pair("padding", value, 0)
    return (sides, sides)

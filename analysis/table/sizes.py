"""What follows from the sizes of a convolution: output, reduction, FLOPs, bytes. Imports no pandas.

`kernels.problem` computes the same for measuring; an archive is checked by arithmetic of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

#: The sizes that every layer has, as its configuration has them; the stride may be [rows, columns].
SIZES = ("in_channels", "height", "width", "out_channels", "kernel_h", "kernel_w", "stride")
#: What a layer may have besides, and its value where it does not say. The padding is one number, [rows, columns] or
#: [[above, below], [left, right]]; the dilation is one number or [rows, columns].
OPTIONAL = {"padding": 0, "dilation": 1, "groups": 1}
PER_AXIS = ("stride", "padding", "dilation")
FLOAT_BYTES = 4

Size = Mapping[str, Any]


class Axis(NamedTuple):
    """One direction of a convolution, rows or columns, in elements; `padding` counts both ends."""

    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int

    @property
    def outputs(self) -> int:
        """How many positions the filter has."""
        return (self.size + self.padding - (self.kernel - 1) * self.dilation - 1) // self.stride + 1


def sizes_of(point: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read the sizes of a point of the provenance; None where it does not tell them all.

    What is OPTIONAL is there if the layer has another value than the default.
    """
    config = point.get("config") or {}
    layer = config.get("layer", config)
    if not isinstance(layer, Mapping):
        return None
    given = {name: layer[name] for name in (*SIZES, *OPTIONAL) if name in layer}
    told = all(_is_size(name, given.get(name, OPTIONAL.get(name))) for name in (*SIZES, *OPTIONAL))
    if not told:
        return None
    return {name: value for name, value in given.items() if name in SIZES or not _is_default(name, value)}


def axes(size: Size) -> tuple[Axis, Axis]:
    """Give the rows and the columns of a convolution."""
    stride, dilation = (_pair(size.get(name, 1)) for name in ("stride", "dilation"))
    padding = [sum(_pair(side)) for side in _pair(size.get("padding", 0))]
    return (
        Axis(size["height"], size["kernel_h"], stride[0], padding[0], dilation[0]),
        Axis(size["width"], size["kernel_w"], stride[1], padding[1], dilation[1]),
    )


def output(size: Size) -> tuple[int, int]:
    """Give the rows and columns of the output."""
    rows, columns = axes(size)
    return rows.outputs, columns.outputs


def groups(size: Size) -> int:
    """Give the number of groups."""
    return int(size.get("groups", 1))


def reduction(size: Size) -> int:
    """Count the products that an output element adds up: K."""
    return int(size["in_channels"] // groups(size) * size["kernel_h"] * size["kernel_w"])


def flops(size: Size) -> int:
    """Count the FLOPs of the direct convolution of one image; products with the zeros of a padding count."""
    high, wide = output(size)
    return int(2 * size["out_channels"] * high * wide * reduction(size))


def tensor_bytes(size: Size, batch: int) -> int:
    """Count the bytes of input, filter and output at a batch; the padding is no part of the input."""
    high, wide = output(size)
    image = size["in_channels"] * size["height"] * size["width"] + size["out_channels"] * high * wide
    return int(FLOAT_BYTES * (batch * image + size["out_channels"] * reduction(size)))


def said(value: Any) -> str:
    """Write a size for people: 2 where rows and columns are alike, else 2 x 1; a padding of uneven ends is 1+0 x 2."""
    if not isinstance(value, Sequence):
        return str(value)
    each = [
        str(one) if isinstance(one, int) else str(one[0]) if one[0] == one[1] else f"{one[0]}+{one[1]}" for one in value
    ]
    return each[0] if each[0] == each[1] else " x ".join(each)


def _pair(value: Any) -> Any:
    """Give both of two, or one twice."""
    return value if isinstance(value, Sequence) else (value, value)


def _is_size(name: str, value: Any) -> bool:
    """Whether a value has the form of a size."""
    least, depth = 0 if name == "padding" else 1, 2 if name == "padding" else 1 if name in PER_AXIS else 0
    return _is_nested(value, least, depth)


def _is_nested(value: Any, least: int, depth: int) -> bool:
    """Whether a value is a whole number from `least` on, or a pair of such, `depth` deep at most."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return depth > 0 and len(value) == 2 and all(_is_nested(one, least, depth - 1) for one in value)
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_default(name: str, value: Any) -> bool:
    """Whether a value of OPTIONAL says no more than its absence."""
    flat = [one for side in _pair(value) for one in _pair(side)]
    return set(flat) == {OPTIONAL[name]}

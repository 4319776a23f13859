"""What follows from the sizes of a convolution without padding: output, reduction, FLOPs, bytes. Imports no pandas."""

from collections.abc import Mapping
from typing import Any

#: The sizes of a layer, as its configuration has them; there is no padding.
SIZES = ("in_channels", "height", "width", "out_channels", "kernel_h", "kernel_w", "stride")
FLOAT_BYTES = 4

Size = Mapping[str, int]


def sizes_of(point: Mapping[str, Any]) -> dict[str, int] | None:
    """Read the sizes of a point of the provenance; None where it does not tell them all."""
    config = point.get("config") or {}
    layer = config.get("layer", config)
    if not isinstance(layer, Mapping) or not all(isinstance(layer.get(name), int) for name in SIZES):
        return None
    return {name: layer[name] for name in SIZES}


def output(size: Size) -> tuple[int, int]:
    """Give the rows and columns of the output."""
    high = (size["height"] - size["kernel_h"]) // size["stride"] + 1
    wide = (size["width"] - size["kernel_w"]) // size["stride"] + 1
    return high, wide


def reduction(size: Size) -> int:
    """Count the products that an output element adds up: K."""
    return size["in_channels"] * size["kernel_h"] * size["kernel_w"]


def flops(size: Size) -> int:
    """Count the FLOPs of the direct convolution of one image."""
    high, wide = output(size)
    return 2 * size["out_channels"] * high * wide * reduction(size)


def tensor_bytes(size: Size, batch: int) -> int:
    """Count the bytes of input, filter and output at a batch."""
    high, wide = output(size)
    image = size["in_channels"] * size["height"] * size["width"] + size["out_channels"] * high * wide
    return FLOAT_BYTES * (batch * image + size["out_channels"] * reduction(size))

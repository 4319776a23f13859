"""Quantities that follow from a layer's sizes: output, length of the reduction, FLOPs, im2col matrix."""

from collections.abc import Mapping

from analysis.numbers import published
from analysis.table.archive import Archive

#: The sizes of a layer, as its configuration has them; there is no padding.
SIZES = ("in_channels", "height", "width", "out_channels", "kernel_h", "kernel_w", "stride")
FLOAT_BYTES = 4

Size = Mapping[str, int]


def layer_sizes(archive: Archive) -> dict[tuple[str, str], dict[str, int]]:
    """Read the sizes of every measured (suite, layer) from the provenance; some may lack them."""
    found = {}
    for point in archive.provenance["points"]:
        config = point.get("config") or {}
        layer = config.get("layer", config)
        if isinstance(layer, dict) and all(name in layer for name in SIZES):
            found[point["suite"], point["layer"]] = {name: int(layer[name]) for name in SIZES}
    return found


def published_sizes(layer: str) -> dict[str, int] | None:
    """Give the sizes of one of the paper's layers; None for any other."""
    paper = published.layers()
    return {name: int(paper.at[layer, name]) for name in SIZES} if layer in paper.index else None


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


def im2col_bytes(size: Size) -> int:
    """Give the bytes of one image's im2col matrix."""
    high, wide = output(size)
    return reduction(size) * high * wide * FLOAT_BYTES

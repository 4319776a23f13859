"""The sizes of layers, measured and published, what kind of layer they make, and the im2col matrix."""

from functools import cache
from typing import Any

from analysis.numbers import published
from analysis.table.archive import Archive
from analysis.table.sizes import FLOAT_BYTES, SIZES, Size, axes, groups, output, reduction, sizes_of

#: The kinds of layers. A layer with several of these traits is of the one that says most about how it is computed.
KINDS = ("1 x 1", "3 x 3", "other filter", "strided", "dilated", "1-D", "grouped", "depthwise")
POINTWISE, SQUARE, OTHER, STRIDED, DILATED, ONE_DIMENSIONAL, GROUPED, DEPTHWISE = KINDS


def layer_sizes(archive: Archive) -> dict[tuple[str, str], dict[str, Any]]:
    """Read the sizes of every measured (suite, layer) from the provenance; some may lack them."""
    found = {}
    for point in archive.provenance["points"]:
        if sizes := sizes_of(point):
            found[point["suite"], point["layer"]] = sizes
    return found


def published_sizes(layer: str) -> dict[str, int] | None:
    """Give the sizes of one of the paper's layers; None for any other."""
    found = _published().get(layer)
    return None if found is None else dict(found)


@cache
def _published() -> dict[str, dict[str, int]]:
    paper = published.layers()
    return {str(layer): {name: int(paper.at[layer, name]) for name in SIZES} for layer in paper.index}


def im2col_bytes(size: Size) -> int:
    """Give the bytes of one image's im2col matrix."""
    high, wide = output(size)
    return groups(size) * reduction(size) * high * wide * FLOAT_BYTES


def kind_of(size: Size) -> str:
    """Name the kind of a layer, one of KINDS."""
    rows, columns = axes(size)
    if groups(size) > 1:
        return DEPTHWISE if groups(size) == size["in_channels"] else GROUPED
    if rows.size == 1 < columns.size and not rows.padding:
        return ONE_DIMENSIONAL
    if any(axis.dilation > 1 and axis.kernel > 1 for axis in (rows, columns)):
        return DILATED
    if rows.stride > 1 or columns.stride > 1:
        return STRIDED
    return {(1, 1): POINTWISE, (3, 3): SQUARE}.get((rows.kernel, columns.kernel), OTHER)

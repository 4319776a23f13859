"""The sizes of layers, measured and published, and the im2col matrix that follows from them."""

from analysis.numbers import published
from analysis.table.archive import Archive
from analysis.table.sizes import FLOAT_BYTES, SIZES, Size, output, reduction, sizes_of


def layer_sizes(archive: Archive) -> dict[tuple[str, str], dict[str, int]]:
    """Read the sizes of every measured (suite, layer) from the provenance; some may lack them."""
    found = {}
    for point in archive.provenance["points"]:
        if sizes := sizes_of(point):
            found[point["suite"], point["layer"]] = sizes
    return found


def published_sizes(layer: str) -> dict[str, int] | None:
    """Give the sizes of one of the paper's layers; None for any other."""
    paper = published.layers()
    return {name: int(paper.at[layer, name]) for name in SIZES} if layer in paper.index else None


def im2col_bytes(size: Size) -> int:
    """Give the bytes of one image's im2col matrix."""
    high, wide = output(size)
    return reduction(size) * high * wide * FLOAT_BYTES

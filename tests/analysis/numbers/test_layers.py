"""What follows from a layer's sizes."""

from analysis.numbers.layers import im2col_bytes, published_sizes
from analysis.table.sizes import SIZES, flops, output, reduction, tensor_bytes


def test_a_layer_of_the_paper() -> None:
    size = published_sizes("conv1")
    assert size == dict(zip(SIZES, (3, 227, 227, 96, 11, 11, 4), strict=True))
    assert output(size) == (55, 55)
    assert reduction(size) == 3 * 11 * 11
    assert flops(size) == 2 * 96 * 55 * 55 * 3 * 11 * 11
    assert im2col_bytes(size) == 4 * 55 * 55 * 3 * 11 * 11
    assert published_sizes("another") is None


def test_rows_and_columns_may_differ() -> None:
    size = dict(zip(SIZES, (2, 7, 10, 5, 3, 2, 2), strict=True))
    assert output(size) == (3, 5)
    assert flops(size) == 2 * 5 * 15 * 12
    assert tensor_bytes(size, 3) == 4 * (3 * 2 * 7 * 10 + 5 * 12 + 3 * 5 * 15)

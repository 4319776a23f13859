"""What follows from a layer's sizes."""

from typing import Any

import pytest

from analysis.numbers import layers
from analysis.numbers.layers import im2col_bytes, kind_of, published_sizes
from analysis.table.sizes import SIZES, flops, output, reduction, said, sizes_of, tensor_bytes
from kernels.problem import ConvProblem


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


#: What a layer may have besides its sizes, in the forms of conf/layer and of results.
FORMS: list[dict[str, Any]] = [
    {},
    {"padding": 1},
    {"padding": [2, 0], "stride": [2, 1]},
    {"padding": [[1, 0], [2, 3]], "dilation": [1, 2]},
    {"dilation": 3, "padding": 3},
    {"groups": 4},
    {"groups": 8, "padding": 1, "stride": 2},
]


def layer(**changes: Any) -> dict[str, Any]:
    return dict(zip(SIZES, (8, 12, 15, 16, 3, 3, 1), strict=True)) | changes


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_the_arithmetic_is_that_of_the_problem(form: dict[str, Any]) -> None:
    """An archive is checked by arithmetic of its own, which must agree with the one that measures."""
    size = sizes_of({"config": {"layer": layer(**form)}})
    assert size == layer(**form)
    problem = ConvProblem.from_layer(size, 5)
    assert output(size) == (problem.out_height, problem.out_width)
    assert reduction(size) == problem.gemm_shape[2]
    assert 5 * flops(size) == problem.flops
    assert tensor_bytes(size, 5) == problem.tensor_bytes


def test_the_sizes_of_a_point() -> None:
    """A default says no more than its absence; a layer that cannot be read is one of unknown size."""
    told = layer(padding=[[0, 0], [0, 0]], dilation=[1, 1], groups=1, name="one")
    assert sizes_of({"config": {"layer": told}}) == layer()
    for wrong in ({"padding": -1}, {"stride": [1, 0]}, {"stride": [1]}, {"groups": [2, 2]}, {"dilation": "1"}):
        assert sizes_of({"config": {"layer": layer(**wrong)}}) is None
    assert sizes_of({}) is None


def test_sizes_as_text() -> None:
    assert [said(one) for one in (2, [2, 2], (2, 1))] == ["2", "2", "2 x 1"]
    assert [said(one) for one in ([[1, 1], [1, 1]], [[1, 0], [2, 2]])] == ["1", "1+0 x 2"]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"kernel_h": 1, "kernel_w": 1}, layers.POINTWISE),
        ({"kernel_h": 1, "kernel_w": 1, "height": 1, "width": 1}, layers.POINTWISE),
        ({"padding": 1}, layers.SQUARE),
        ({"kernel_w": 1}, layers.OTHER),
        ({"kernel_h": 1, "kernel_w": 1, "stride": [2, 2]}, layers.STRIDED),
        ({"dilation": [2, 2], "stride": 2}, layers.DILATED),
        ({"height": 1, "kernel_h": 1, "dilation": 2}, layers.ONE_DIMENSIONAL),
        ({"groups": 4}, layers.GROUPED),
        ({"groups": 8, "stride": 2}, layers.DEPTHWISE),
    ],
)
def test_the_kind_of_a_layer(changes: dict[str, Any], kind: str) -> None:
    assert kind_of(layer(**changes)) == kind
    assert im2col_bytes(layer(groups=4)) == im2col_bytes(layer())

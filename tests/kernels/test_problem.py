"""The problem validates itself and knows its sizes."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from kernels.problem import Axis, ConvProblem, ProblemError
from tests.problems import MIXED, mixed_problems

CONV1 = ConvProblem(64, 3, 227, 227, 96, 11, 11, 4)


def test_sizes_of_conv1() -> None:
    assert CONV1.output_shape == (64, 96, 55, 55)
    assert CONV1.gemm_shape == (96, 64 * 55 * 55, 363)
    assert CONV1.window_tensor_shape == (64, 3, 55, 227 * 11)
    assert CONV1.flops == CONV1.flops_without_padding == 2 * 64 * 96 * 55 * 55 * 3 * 11 * 11
    assert CONV1.tensor_bytes == 4 * (64 * 3 * 227 * 227 + 96 * 3 * 11 * 11 + 64 * 96 * 55 * 55)
    assert CONV1.window_tensor_bytes == 4 * 64 * 3 * 55 * 227 * 11


def test_sizes_with_everything() -> None:
    # Rows: 2 + 9 + 1 padded, a reach of 5, stride 3. Columns: 8 + 2 * 3 padded, a reach of 4, stride 2.
    problem = ConvProblem(2, 6, 9, 8, 4, 3, 4, stride=(3, 2), padding=((2, 1), (3, 3)), dilation=(2, 1), groups=2)
    assert problem.rows == Axis(9, 3, 3, 2, 1, 2)
    assert problem.columns == Axis(8, 4, 2, 3, 3, 1)
    assert (problem.rows.reach, problem.columns.reach) == (5, 4)
    assert problem.filter_shape == (4, 3, 3, 4)
    assert problem.output_shape == (2, 4, 3, 6)
    assert problem.gemm_shape == (4, 2 * 3 * 6, 3 * 3 * 4)
    assert problem.window_tensor_shape == (2, 6, 3, 14 * 3)
    assert problem.flops == 2 * 4 * (2 * 3 * 6) * (3 * 3 * 4)
    assert problem.is_padded
    assert not problem.is_padded_evenly
    assert not problem.is_depthwise


def test_short_forms_are_the_long_one() -> None:
    def problem(**fields: Any) -> ConvProblem:
        return ConvProblem(1, 2, 9, 9, 2, 3, 3, **fields)

    assert problem(stride=2) == problem(stride=[2, 2]) == problem(stride=(2, 2))
    assert problem(dilation=2) == problem(dilation=[2, 2])
    assert problem(padding=1) == problem(padding=[1, 1]) == problem(padding=[[1, 1], [1, 1]])
    assert problem(padding=(1, 2)).padding == ((1, 1), (2, 2))
    assert problem(padding=[1, [0, 2]]).padding == ((1, 1), (0, 2))
    assert hash(problem(padding=[[0, 1], [1, 0]])) == hash(problem(padding=((0, 1), (1, 0))))


def test_a_layer_need_not_name_what_has_a_default() -> None:
    layer = {"name": "one", "in_channels": 4, "height": 5, "width": 6, "out_channels": 8, "kernel_h": 3, "kernel_w": 2}
    assert ConvProblem.from_layer(layer, 7) == ConvProblem(7, 4, 5, 6, 8, 3, 2)
    more = layer | {"stride": [1, 2], "padding": [[0, 1], [0, 0]], "dilation": 2, "groups": 4}
    assert ConvProblem.from_layer(more, 7) == ConvProblem(7, 4, 5, 6, 8, 3, 2, (1, 2), ((0, 1), (0, 0)), (2, 2), 4)


@pytest.mark.parametrize("size", [field.name for field in dataclasses.fields(ConvProblem)])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_sizes_must_be_positive_integers(size: str, value: Any) -> None:
    if size == "padding" and value == 0:
        assert dataclasses.replace(CONV1, padding=value) == CONV1
        return
    with pytest.raises(ProblemError, match=f"{size} is {value!r}"):
        dataclasses.replace(CONV1, **{size: value})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"stride": (1, 0)}, "stride is 0; it must be a positive integer"),
        ({"stride": (1, 2, 3)}, r"stride is \(1, 2, 3\); it must be one number, or two: \[rows, columns\]"),
        ({"stride": ((1, 1), (2, 2))}, r"stride is \(1, 1\)"),
        ({"dilation": (2, -1)}, "dilation is -1; it must be a positive integer"),
        ({"dilation": ()}, r"dilation is \(\)"),
        ({"padding": (0, -1)}, "padding is -1; it must be 0 or a positive integer"),
        ({"padding": ((0, 1), (0, 1.5))}, "padding is 1.5"),
        ({"padding": (1, 1, 1, 1)}, r"padding is \(1, 1, 1, 1\); .*\[\[above, below\], \[left, right\]\]"),
        ({"groups": 2}, "groups is 2 but in_channels is 3: groups must divide it"),
        ({"in_channels": 10, "groups": 5}, "groups is 5 but out_channels is 96: groups must divide it"),
    ],
)
def test_what_cannot_be(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        dataclasses.replace(CONV1, **fields)


def test_filter_must_fit() -> None:
    with pytest.raises(ProblemError, match="kernel_h is 228 but the input's height is only 227: the filter must fit"):
        dataclasses.replace(CONV1, kernel_h=228)
    with pytest.raises(ProblemError, match="kernel_w is 300 but the input's width is only 227"):
        dataclasses.replace(CONV1, kernel_w=300)
    said = r"kernel_h is 11 and spans 241 with dilation 24 but the input's height is only 227 and 3 \+ 4 of padding"
    with pytest.raises(ProblemError, match=said):
        dataclasses.replace(CONV1, dilation=(24, 1), padding=((3, 4), (0, 0)))
    assert dataclasses.replace(CONV1, dilation=(24, 1), padding=((7, 7), (0, 0))).out_height == 1


def test_stride_must_leave_an_output() -> None:
    with pytest.raises(ProblemError, match="stride is 228 but the padded input is only 227 x 227"):
        dataclasses.replace(CONV1, stride=(228, 228))
    with pytest.raises(ProblemError, match=r"stride is \(229, 230\)"):
        dataclasses.replace(CONV1, stride=(229, 230), padding=((0, 0), (1, 0)))
    # A row of one output: its stride does not count.
    assert ConvProblem(1, 1, 1, 9, 1, 1, 3, stride=2).output_shape == (1, 1, 1, 4)
    assert dataclasses.replace(CONV1, stride=(228, 228), padding=((1, 0), (0, 0))).out_height == 1


def taps_by_hand(axis: Axis, output: int) -> list[int]:
    """The taps of an output's window that meet the input, each asked for itself."""
    places = [output * axis.stride + tap * axis.dilation - axis.before for tap in range(axis.kernel)]
    return [tap for tap, place in enumerate(places) if 0 <= place < axis.size]


def test_taps_inside() -> None:
    axes = [
        Axis(size, kernel, stride, before, after, dilation)
        for size, kernel, stride, before, after, dilation in itertools.product(
            (1, 2, 5, 8), (1, 2, 3, 5), (1, 2, 3), (0, 1, 4), (0, 3), (1, 2, 4)
        )
        if (kernel - 1) * dilation + 1 <= before + size + after
    ]
    nowhere = 0
    for axis in axes:
        for output in range(axis.outputs):
            assert list(axis.taps_inside(output)) == taps_by_hand(axis, output), (axis, output)
            nowhere += not taps_by_hand(axis, output)
    assert nowhere > 100  # windows that lie in padding alone are among them


@pytest.mark.parametrize("problem", MIXED + mixed_problems(20, seed=5), ids=str)
def test_flops_without_padding(problem: ConvProblem) -> None:
    products = 1
    for axis in (problem.rows, problem.columns):
        products *= sum(len(taps_by_hand(axis, output)) for output in range(axis.outputs))
    channels = problem.batch * problem.out_channels * problem.group_in_channels
    assert problem.flops_without_padding == 2 * channels * products <= problem.flops

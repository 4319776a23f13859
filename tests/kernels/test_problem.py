"""The problem validates itself and knows its sizes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from kernels.problem import ConvProblem, ProblemError

CONV1 = ConvProblem(64, 3, 227, 227, 96, 11, 11, 4)


def test_sizes_of_conv1() -> None:
    assert CONV1.output_shape == (64, 96, 55, 55)
    assert CONV1.gemm_shape == (96, 64 * 55 * 55, 363)
    assert CONV1.window_tensor_shape == (64, 3, 55, 227 * 11)
    assert CONV1.flops == 2 * 64 * 96 * 55 * 55 * 3 * 11 * 11
    assert CONV1.tensor_bytes == 4 * (64 * 3 * 227 * 227 + 96 * 3 * 11 * 11 + 64 * 96 * 55 * 55)
    assert CONV1.window_tensor_bytes == 4 * 64 * 3 * 55 * 227 * 11


@pytest.mark.parametrize("size", [field.name for field in dataclasses.fields(ConvProblem)])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_sizes_must_be_positive_integers(size: str, value: Any) -> None:
    with pytest.raises(ProblemError, match=f"{size} is {value!r}"):
        dataclasses.replace(CONV1, **{size: value})


def test_filter_must_fit() -> None:
    with pytest.raises(ProblemError, match="kernel_h is 228 but the input's height is only 227"):
        dataclasses.replace(CONV1, kernel_h=228)
    with pytest.raises(ProblemError, match="kernel_w is 300 but the input's width is only 227"):
        dataclasses.replace(CONV1, kernel_w=300)


def test_stride_must_leave_an_output() -> None:
    with pytest.raises(ProblemError, match="stride is 228"):
        dataclasses.replace(CONV1, stride=228)

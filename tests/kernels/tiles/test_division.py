"""Numbers that the kernels divide by."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("cuda.core")

from kernels.tiles.division import division_numbers


def quotient(n: int, divisor: int) -> int:
    """FastDivision::quotient of cuda/convolution.cuh, in 32-bit unsigned arithmetic."""
    multiplier, shift = division_numbers(divisor)
    return (((n * (multiplier % 2**32)) >> 32) + n) % 2**32 >> shift


@pytest.mark.parametrize("divisor", [1, 2, 3, 5, 7, 25, 64, 111, 3025, 49284, 2**20 - 1, 2**30 + 1, 2**31 - 1])
def test_division_is_exact(divisor: int) -> None:
    chance = random.Random(divisor)
    around = [k * divisor + d for k in range(4) for d in (-1, 0, 1)]
    numbers = [0, 1, 2**31 - 1, *around, *(chance.randrange(2**31) for _ in range(1000))]
    for n in numbers:
        if 0 <= n < 2**31:
            assert quotient(n, divisor) == n // divisor


def test_multipliers_are_signed_32_bit_numbers() -> None:
    for divisor in range(1, 3000):
        multiplier, shift = division_numbers(divisor)
        assert -(2**31) <= multiplier < 2**31
        assert 0 <= shift < 32

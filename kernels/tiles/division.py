"""Division by a number that the kernels know only at run time, as one multiplication and one shift."""

from __future__ import annotations


def division_numbers(divisor: int) -> tuple[int, int]:
    """Multiplier and shift with which FastDivision (cuda/convolution.cuh) divides numbers below 2^31.

    n / d = ((n * multiplier >> 32) + n) >> shift, in 32-bit unsigned arithmetic; the multiplier is given as the signed
    number of the same 32 bits, as kernel arguments are. Granlund and Montgomery, PLDI 1994, section 4.
    """
    shift = (divisor - 1).bit_length()
    multiplier = ((1 << 32) * ((1 << shift) - divisor)) // divisor + 1
    return (multiplier - (1 << 32) if multiplier >= 1 << 31 else multiplier, shift)

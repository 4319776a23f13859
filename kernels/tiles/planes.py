"""How rows of several planes of X lie in shared memory with the zeros of their padding (cuda/include/planes.cuh)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..problem import ConvProblem
from .division import division_numbers
from .tiled import VECTOR

#: Banks of shared memory, and threads of a warp.
BANKS = WARP = 32
#: Bytes of dynamic shared memory that a block can have on every architecture.
SHARED_BYTES = 99 * 1024


@dataclass(frozen=True)
class PlaneTile:
    """The part of X that a block has in shared memory. All in floats, rows or columns."""

    #: Output rows and columns that it serves, and planes of X that it holds.
    rows: int
    columns: int
    planes: int
    #: Floats to fill, rows from a plane to the next, floats from a row to the next.
    cells: int
    plane_rows: int
    pitch: int
    #: In which column of a row the first window begins, at most.
    early: int

    def arguments(self) -> tuple[int, ...]:
        """The arguments of PLANES_PARAMETERS."""
        sizes = (self.rows, self.columns, self.planes, self.cells, self.plane_rows, self.pitch)
        return (*sizes, *division_numbers(self.pitch))


def plane_tile(
    problem: ConvProblem, planes: int, rows: int, columns: int, more_pitch: int = 0, more_rows: int = 0
) -> PlaneTile:
    """The tile of `planes` planes for so many output rows and columns, or fewer at the ends.

    `more_pitch` floats is what rows are further apart than they must be, `more_rows` what planes are.
    """
    down, across = problem.rows, problem.columns
    # Where a row of X is whole vectors, they are copied as such, and must be aligned in shared memory too.
    vector = VECTOR if across.size % VECTOR == 0 else 1
    needed_rows = (rows - 1) * down.stride + down.reach
    needed_columns = (columns - 1) * across.stride + across.reach
    if rows == problem.out_height:
        plane_rows = down.size + max(down.before, needed_rows - down.before - down.size)
    else:
        plane_rows = needed_rows
    plane_rows += more_rows
    if columns == problem.out_width:
        early = -across.before % vector
        before, after = across.before + early, needed_columns - across.before - across.size
        pitch, used = across.size + _multiple(max(before, after), vector), early + needed_columns
    else:
        early = vector - 1
        pitch = used = _multiple(early + needed_columns, vector)
    pitch += more_pitch
    beyond = max(0, used - pitch)
    cells = ((planes - 1) * plane_rows + needed_rows) * pitch + beyond
    return PlaneTile(rows, columns, planes, _multiple(cells, VECTOR), plane_rows, pitch, early)


def spread_tile(problem: ConvProblem, tile: PlaneTile, passes: Callable[[PlaneTile], int], most: int) -> PlaneTile:
    """The same tile, rows and planes so far apart that reading takes the fewest passes, of `most` cells at most."""
    step = VECTOR if problem.width % VECTOR == 0 else 1
    further = [
        plane_tile(problem, tile.planes, tile.rows, tile.columns, more_pitch, more_rows)
        for more_pitch in range(0, BANKS // 2, step)
        for more_rows in (0, 1)
    ]
    able = [one for one in further if one.cells <= most]
    return min((tile, *able), key=lambda one: (passes(one), one.cells))


def bank_passes(addresses: Iterable[int]) -> int:
    """How many passes a warp takes to read the floats at these addresses: the most that lie in one bank."""
    return max(Counter(address % BANKS for address in set(addresses)).values())


def _multiple(value: int, of: int) -> int:
    return -(-value // of) * of

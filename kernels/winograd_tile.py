"""Tiles of the im2win convolution with Winograd's minimal filtering, and how its blocks share the work."""

from __future__ import annotations

from kernels.problem import ConvProblem
from kernels.tile import Schedule, Tile

#: Products for the two outputs of a pair, for each column of the filter (PRODUCTS in cuda/im2win_winograd.cu).
PRODUCTS = 4

#: `m` output channels x `n` pairs of outputs, of each product; `k` columns of the filter, of four channels.
WINOGRAD_TILES = (Tile(64, 64, 6, 16, 8, 2), Tile(64, 64, 12, 16, 8, 2))


def pairs_of(problem: ConvProblem) -> ConvProblem:
    """The convolution whose outputs are the pairs, one above the other, of `problem`'s: a filter of one row."""
    rows = -(-problem.out_height // 2)
    return ConvProblem(
        problem.batch, problem.in_channels, rows, problem.width, problem.out_channels, 1, 3, 1
    )


def choose_schedule(problem: ConvProblem, slots: int) -> Schedule:
    """One tile a block where there are many, else equally many steps for each block that the device holds at a time.

    `slots` is how many of the kernel's blocks the device holds at one time.
    """
    tile = WINOGRAD_TILES[0]
    return Schedule(tile, 0 if tile.blocks(pairs_of(problem)) >= 8 * slots else 1)

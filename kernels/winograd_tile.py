"""The tile of the im2win convolution with Winograd's minimal filtering, and how its blocks share the work."""

from __future__ import annotations

from kernels.problem import ConvProblem
from kernels.tile import Tile

#: Products for the two outputs of a pair, for each column of the filter (PRODUCTS in cuda/im2win_winograd.cu).
PRODUCTS = 4

#: `m` output channels x `n` pairs of outputs, of each product; `k` columns of the filter, three of each channel.
WINOGRAD_TILE = Tile(64, 64, 6, 16, 8, 2)

#: Blocks that share a tile add to it one after the other: more of them wait longer than they save.
_MOST_AT_A_TILE = 6


def pairs_of(problem: ConvProblem) -> ConvProblem:
    """The convolution whose outputs are the pairs, one above the other, of `problem`'s: a filter of one row."""
    rows = -(-problem.out_height // 2)
    return ConvProblem(problem.batch, problem.in_channels, rows, problem.width, problem.out_channels, 1, 3, 1)


def choose_steps(pairs: ConvProblem, slots: int) -> int:
    """How many steps of the reduction a block does, where the device holds `slots` blocks at one time.

    `pairs` is the convolution of `pairs_of`.
    """
    tiles, steps = WINOGRAD_TILE.blocks(pairs), WINOGRAD_TILE.steps(pairs)
    return max(1, -(-tiles * steps // min(slots, _MOST_AT_A_TILE * tiles)))

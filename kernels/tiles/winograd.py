"""The tile of the im2win convolution with Winograd's minimal filtering, and how its blocks share the work."""

from __future__ import annotations

from kernels.problem import ConvProblem
from kernels.tiles.tiled import Tile

#: Outputs of a strip, and its products for each column of the filter (both in cuda/im2win_winograd.cu).
OUTPUTS, PRODUCTS = 6, 8

#: `m` output channels x `n` strips, of each product; `k` columns of the filter, three of each channel.
WINOGRAD_TILE = Tile(64, 64, 12, 16, 8, 2)

#: What each block that shares a tile adds to the time until the tile is done, in steps: blocks add to it in turn.
_TURN_STEPS = 1

#: How many steps that read transformed weights must save what transforming them beforehand takes: its launch, and each
#: step of one tile of channels. Fitted to an H100's times of six layers at four batches.
_LAUNCH_STEPS, _STEPS_PER_TRANSFORMED = 20, 0.05


def prepares(strips: ConvProblem, slots: int) -> bool:
    """Whether the filter is better transformed beforehand, where the device holds `slots` blocks at one time.

    `strips` is the convolution of `strips_of`. Each of its tiles would transform the weights again.
    """
    tiles, steps = WINOGRAD_TILE.blocks(strips), WINOGRAD_TILE.steps(strips)
    tiles_m = -(-strips.out_channels // WINOGRAD_TILE.m)
    return tiles * steps / slots >= _LAUNCH_STEPS + _STEPS_PER_TRANSFORMED * tiles_m * steps


def strips_of(problem: ConvProblem) -> ConvProblem:
    """The convolution whose outputs are the strips of `problem`'s, six one above the other: a filter of one row."""
    rows = -(-problem.out_height // OUTPUTS)
    return ConvProblem(problem.batch, problem.in_channels, rows, problem.width, problem.out_channels, 1, 3, 1)


def choose_steps(strips: ConvProblem, slots: int) -> int:
    """How many steps of the reduction a block does, where the device holds `slots` blocks at one time.

    `strips` is the convolution of `strips_of`. The fewer, the shorter a block takes, and the more of them share a tile.
    """
    tiles, steps = WINOGRAD_TILE.blocks(strips), WINOGRAD_TILE.steps(strips)
    fewest = -(-tiles * steps // slots)
    # Beyond the second bound a block has a whole tile or more in any case.
    return min(range(fewest, fewest + steps), key=lambda count: count + _TURN_STEPS * _most_at_a_tile(count, steps))


def _most_at_a_tile(steps_per_block: int, steps: int) -> int:
    """How many blocks share a tile of `steps` at most."""
    if steps_per_block % steps == 0 or steps % steps_per_block == 0:
        return max(1, steps // steps_per_block)
    return -(-steps // steps_per_block) + 1

"""The tile of the im2win convolution with Winograd's minimal filtering, and how its blocks share the work."""

from __future__ import annotations

from ..problem import ConvProblem
from .tiled import Tile

#: Outputs of a strip, and its products for each column of the filter: F(6, 3).
STRIP_OUTPUTS, STRIP_PRODUCTS = 6, 8
#: Floats between the end of a row of the filter's tile and the next.
WINOGRAD_FILTER_PAD = 8

DEFINITIONS = {
    "STRIP_OUTPUTS": STRIP_OUTPUTS,
    "STRIP_PRODUCTS": STRIP_PRODUCTS,
    "WINOGRAD_FILTER_PAD": WINOGRAD_FILTER_PAD,
}

#: `m` output channels x `n` strips, of each product; `k` columns of the filter, three of each channel.
WINOGRAD_TILE = Tile(64, 64, 12, 16, 8, 2)


def winograd(prepared: bool, padded: bool) -> str:
    """Name expression of the kernel; `prepared` if F is transformed beforehand, `padded` if X has padding."""
    tile, loader = WINOGRAD_TILE, "PreparedLoader" if prepared else "WeightLoader"
    return f"im2win_winograd<{loader}, {int(padded)}, {tile.m}, {tile.n}, {tile.k}, {tile.micro_m}, {tile.micro_n}>"


#: Program -> name expressions of its kernels.
INSTANCES = {
    "im2win_winograd": (
        *(winograd(prepared, padded) for prepared in (False, True) for padded in (False, True)),
        "winograd_filter",
    )
}

#: What each block that shares a tile adds to the time until the tile is done, in steps: blocks add to it in turn.
_TURN_STEPS = 1

#: How many steps that read transformed weights must save what transforming them beforehand takes: its launch, and each
#: step of one tile of channels. Fitted to an H100's times of six layers at four batches.
_LAUNCH_STEPS, _STEPS_PER_TRANSFORMED = 20, 0.05


def prepares(strips: ConvProblem, multiprocessors: int) -> bool:
    """Whether F is better transformed beforehand, on a device of so many multiprocessors with one block on each.

    `strips` is the convolution of `strips_of`. Otherwise each of its tiles transforms the weights again.
    """
    tiles, steps = WINOGRAD_TILE.blocks(strips), WINOGRAD_TILE.steps(strips)
    tiles_m = -(-strips.out_channels // WINOGRAD_TILE.m)
    return tiles * steps / multiprocessors >= _LAUNCH_STEPS + _STEPS_PER_TRANSFORMED * tiles_m * steps


def strips_of(problem: ConvProblem) -> ConvProblem:
    """The convolution whose outputs are the strips of `problem`'s, six one above the other: a filter of one row."""
    rows = -(-problem.out_height // STRIP_OUTPUTS)
    columns_only = ((0, 0), problem.padding[1])
    return ConvProblem(
        problem.batch, problem.in_channels, rows, problem.width, problem.out_channels, 1, 3, padding=columns_only
    )


def choose_steps(strips: ConvProblem, resident_blocks: int) -> int:
    """How many steps of the reduction a block does, if so many blocks are resident on the device at once.

    `strips` is the convolution of `strips_of`. With fewer steps a block takes less time, but more blocks share a tile.
    """
    tiles, steps = WINOGRAD_TILE.blocks(strips), WINOGRAD_TILE.steps(strips)
    fewest = -(-tiles * steps // resident_blocks)
    # Beyond the second bound a block has a whole tile or more in any case.
    return min(range(fewest, fewest + steps), key=lambda count: count + _TURN_STEPS * _most_at_a_tile(count, steps))


def _most_at_a_tile(steps_per_block: int, steps: int) -> int:
    """How many blocks share a tile of `steps` at most."""
    if steps_per_block % steps == 0 or steps % steps_per_block == 0:
        return max(1, steps // steps_per_block)
    return -(-steps // steps_per_block) + 1

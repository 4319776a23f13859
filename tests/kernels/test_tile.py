"""Tiles and the choice among them."""

from __future__ import annotations

import pytest

from kernels.problem import ConvProblem
from kernels.tile import TILE_WITHOUT_MICRO_KERNEL, TILES, Tile, choose_tile


@pytest.mark.parametrize("tile", [*TILES, TILE_WITHOUT_MICRO_KERNEL], ids=str)
def test_a_block_is_launchable(tile: Tile) -> None:
    assert tile.threads <= 1024
    assert tile.threads % 32 == 0


def test_blocks_cover_the_problem() -> None:
    assert Tile(128, 128, 8, 8, 8, 1.0).blocks(ConvProblem(1, 1, 3, 43, 129, 1, 1, 1)) == 2 * 2


def test_few_output_channels_get_a_narrow_tile() -> None:
    assert choose_tile(ConvProblem(64, 64, 112, 112, 64, 3, 3, 1), 132).m == 64
    assert choose_tile(ConvProblem(64, 3, 227, 227, 96, 11, 11, 4), 132).m == 96
    assert choose_tile(ConvProblem(64, 64, 112, 112, 128, 3, 3, 1), 132).m in (64, 128)


def test_few_pixels_get_a_small_tile() -> None:
    conv12 = ConvProblem(64, 512, 7, 7, 512, 3, 3, 1)
    assert choose_tile(conv12, 132).blocks(conv12) > 52  # the 128 x 128 tile would leave most of 132 idle

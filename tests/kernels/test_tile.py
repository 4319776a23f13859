"""Tiles and the choice among them."""

from __future__ import annotations

import pytest

from kernels.problem import ConvProblem
from kernels.tile import PADDED_CHANNELS, PADDED_REDUCTION, TILE_WITHOUT_MICRO_KERNEL, TILES, Tile, choose_tile


@pytest.mark.parametrize("tile", [*TILES, TILE_WITHOUT_MICRO_KERNEL], ids=str)
def test_padding_is_whole_tiles(tile: Tile) -> None:
    """The kernels read the filter without bounds checks, so its padding must cover any tile."""
    assert PADDED_CHANNELS % tile.m == 0
    assert PADDED_REDUCTION % tile.k == 0
    assert tile.threads <= 1024


def test_few_output_channels_get_a_narrow_tile() -> None:
    assert choose_tile(ConvProblem(64, 64, 112, 112, 64, 3, 3, 1), 132).m == 64
    assert choose_tile(ConvProblem(64, 3, 227, 227, 96, 11, 11, 4), 132).m == 96
    assert choose_tile(ConvProblem(64, 64, 112, 112, 128, 3, 3, 1), 132).m in (64, 128)


def test_few_pixels_get_a_small_tile() -> None:
    conv12 = ConvProblem(64, 512, 7, 7, 512, 3, 3, 1)
    assert choose_tile(conv12, 132).blocks(conv12) > 52  # the 128 x 128 tile would leave most of 132 idle

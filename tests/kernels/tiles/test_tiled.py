"""Tiles, how blocks share their steps, and the choice among both."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from kernels.problem import ConvProblem
from kernels.tiles.tiled import (
    FUSED_LOADERS,
    RESIDENT,
    TILE_WITHOUT_MICRO_KERNEL,
    TILES,
    Schedule,
    Tile,
    candidates,
    choose_schedule,
    fits,
)
from kernels.tiles.winograd import WINOGRAD_TILE, choose_steps, strips_of

CONV6 = ConvProblem(64, 256, 12, 12, 512, 3, 3, 1)
CONV7 = ConvProblem(64, 3, 224, 224, 64, 3, 3, 1)
CONV9 = ConvProblem(64, 64, 56, 56, 64, 3, 3, 1)
CONV10 = ConvProblem(64, 128, 28, 28, 128, 3, 3, 1)
CONV12 = ConvProblem(64, 512, 7, 7, 512, 3, 3, 1)


@pytest.mark.parametrize("tile", [*TILES, TILE_WITHOUT_MICRO_KERNEL], ids=str)
def test_a_block_is_launchable(tile: Tile) -> None:
    assert tile.threads <= 1024
    assert tile.threads % 32 == 0


def test_blocks_and_steps_cover_the_problem() -> None:
    tile = Tile(128, 128, 8, 16, 8, 3)
    problem = ConvProblem(1, 3, 3, 43, 129, 3, 1, 1)
    assert tile.blocks(problem) == 2 * 1
    assert tile.steps(problem) == 2  # nine values of the reduction


def test_one_tile_per_block_or_equal_shares() -> None:
    tile = Tile(64, 64, 8, 8, 8, 3)
    assert Schedule(tile, 0).steps_per_block(CONV6, resident_blocks=792) == tile.steps(CONV6)
    total = tile.blocks(CONV6) * tile.steps(CONV6)
    for waves, slots in itertools.product((0.5, 1, 2), (132, 792)):
        share = Schedule(tile, waves).steps_per_block(CONV6, slots)
        assert share * int(waves * slots) >= total > (share - 1) * int(waves * slots)


def test_few_output_channels_get_a_narrow_tile() -> None:
    assert choose_schedule(ConvProblem(64, 64, 112, 112, 64, 3, 3, 1), 132).tile.m == 64
    assert choose_schedule(ConvProblem(64, 3, 227, 227, 96, 11, 11, 4), 132).tile.m == 96


def test_few_tiles_are_shared_by_all_multiprocessors() -> None:
    for problem in (CONV6, CONV12):
        schedule = choose_schedule(problem, 132)
        assert schedule.waves > 0
        share = schedule.steps_per_block(problem, 132 * schedule.tile.resident)
        blocks = -(-schedule.tile.blocks(problem) * schedule.tile.steps(problem) // share)
        assert blocks > 0.9 * 132 * schedule.tile.resident
    assert choose_schedule(CONV7, 132).waves == 0  # tens of thousands of tiles need no sharing


def test_short_reductions_have_a_kernel_of_their_own() -> None:
    assert choose_schedule(CONV7, 132, fused=True) == RESIDENT
    assert choose_schedule(ConvProblem(1, 3, 34, 34, 64, 3, 3, 1), 132, fused=True) != RESIDENT  # four tiles
    assert choose_schedule(ConvProblem(64, 4, 224, 224, 64, 3, 3, 1), 132, fused=True) != RESIDENT  # 36 values
    assert RESIDENT not in candidates(CONV6, 132, FUSED_LOADERS)


@pytest.mark.parametrize("problem", [CONV6, CONV7, ConvProblem(1, 1, 3, 3, 1, 3, 3, 1)], ids=str)
def test_every_candidate_is_compiled_and_survives_its_configuration(problem: ConvProblem) -> None:
    found = candidates(problem, 132, FUSED_LOADERS, clusters=True)
    chosen = [choose_schedule(problem, 132, fused, clusters) for fused in (False, True) for clusters in (False, True)]
    assert set(chosen) <= set(found)
    for schedule in found:
        assert Schedule.from_parameters(schedule.to_parameters()) == schedule


def test_few_tiles_are_shared_by_clusters() -> None:
    small = ConvProblem(1, 512, 7, 7, 512, 3, 3, 1)
    assert choose_schedule(small, 132, fused=True, clusters=True).cluster == 8
    assert choose_schedule(small, 132, fused=True).cluster == 1  # before compute capability 9.0
    assert choose_schedule(small, 132, clusters=True).cluster == 1  # the fused kernel alone has them
    assert choose_schedule(CONV6, 132, fused=True, clusters=True).cluster == 1
    short = ConvProblem(1, 1, 9, 9, 3, 3, 3, 1)  # two steps
    assert max(schedule.cluster for schedule in candidates(short, 132, FUSED_LOADERS, clusters=True)) == 2


def test_a_stored_schedule_that_is_not_compiled_is_named() -> None:
    stored = {"tile": [64, 128, 8, 16, 8, 3], "waves": 1, "loader": "PixelLoader"}
    assert not fits("PixelLoader", Tile(64, 128, 8, 16, 8, 3))
    with pytest.raises(ValueError, match=r"no kernel is compiled for tile \[64, 128, 8, 16, 8, 3\] with PixelLoader"):
        Schedule.from_parameters(stored)
    stored = {"tile": [64, 128, 8, 16, 8, 3], "waves": 0, "loader": "WindowLoader", "cluster": 8}
    with pytest.raises(ValueError, match="and clusters of 8; .* clusters 1 and on some tiles 2, 4, 8: tune again"):
        Schedule.from_parameters(stored)


@pytest.mark.parametrize("batch", [1, 16, 64])
@pytest.mark.parametrize("height", [7, 12, 226])
def test_strips_cover_the_outputs_and_one_round_of_blocks_does_them(batch: int, height: int) -> None:
    problem = ConvProblem(batch, 64, height, 9, 70, 3, 3, 1)
    strips = strips_of(problem)
    assert (strips.out_height, strips.out_width) == (-(-problem.out_height // 6), problem.out_width)
    tiles, steps = WINOGRAD_TILE.blocks(strips), WINOGRAD_TILE.steps(strips)
    for slots in (1, 10, 132):
        per_block = choose_steps(strips, slots)
        assert 1 <= per_block <= tiles * steps
        assert -(-tiles * steps // per_block) <= slots


def test_winograd_blocks_share_a_tile_where_that_is_faster_than_to_wait() -> None:
    """Many blocks at a tile of many steps, and whole tiles where the blocks then do little more."""
    for layer, batch, blocks in ((CONV12, 1, 128), (CONV12, 64, 132), (CONV10, 64, 130), (CONV9, 1, 32)):
        strips = strips_of(replace(layer, batch=batch))
        tiles, steps = WINOGRAD_TILE.blocks(strips), WINOGRAD_TILE.steps(strips)
        assert -(-tiles * steps // choose_steps(strips, 132)) == blocks

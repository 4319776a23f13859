"""The arithmetic of the tensor-core convolution in numpy: parts, scales, truncating sums; and its plan's numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kernels.families.im2win_tensor_core import exponent_limit, window_offsets
from kernels.problem import FLOAT_BYTES, ConvProblem
from kernels.tiles.tensor_core import K_BLOCK, MMA_TILES, WGMMA_TILES, TensorCoreTile, choices, pays
from kernels.tiles.tensor_core_sliding import MMA_SLIDING_TILES, SLIDING_TILES, SlidingTile
from tests.problems import EDGES, random_problems

#: The order of products in cuda/tensor_core.cuh, by the number of parts; three parts keep the last product apart.
PRODUCTS = {2: [(1, 0), (0, 1), (0, 0)], 3: [(2, 0), (0, 2), (1, 1), (1, 0), (0, 1), (0, 0)]}
GROUP = 16  # of K in one matrix instruction


def scale(values: np.ndarray) -> np.ndarray:
    """Power of two that brings each row's largest magnitude into [2^14, 2^15)."""
    largest = np.abs(values).max(axis=1, keepdims=True)
    return np.exp2(15.0 - np.frexp(np.where(largest > 0, largest, 1.0))[1])


def split(values: np.ndarray, parts: int) -> list[np.ndarray]:
    """SplitChunk in cuda/tensor_core.cuh."""
    found = []
    for part in range(parts):
        coarse = parts == 3 and part == 0
        taken = (np.round(values / 128) * 128 if coarse else values).astype(np.float16).astype(np.float64)
        found.append(taken)
        values = values - taken
    return found


def truncate(values: np.ndarray, units: np.ndarray) -> np.ndarray:
    return np.trunc(values / units) * units


def tensor_core_sum(a: np.ndarray, b: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """One instruction, row by row: terms truncated to 25 bits below the largest exponent, the sum to FP32."""
    terms = np.concatenate([a * b, sums[:, None]], axis=1)
    largest = np.abs(terms).max(axis=1, keepdims=True)
    total = truncate(terms, np.exp2(np.frexp(largest)[1] - 26.0)).sum(axis=1)
    return truncate(total, np.exp2(np.frexp(total)[1] - 24.0))


def dot(x: np.ndarray, f: np.ndarray, parts: int) -> np.ndarray:
    """Sum of x * f along rows, as the kernels compute it."""
    padding = ((0, 0), (0, -x.shape[1] % K_BLOCK))
    x, f = np.pad(x, padding), np.pad(f, padding)
    f_scale = scale(f)
    f_parts = split(f * f_scale, parts)
    result = np.zeros(len(x), np.float32)
    for first in range(0, x.shape[1], K_BLOCK):
        stage = x[:, first : first + K_BLOCK]
        x_scale = scale(stage)
        x_parts = split(stage * x_scale, parts)
        sums, exact = np.zeros(len(x)), np.zeros(len(x))
        for of_f, of_x in PRODUCTS[parts]:
            for k in range(0, K_BLOCK, GROUP):
                a = f_parts[of_f][:, first + k : first + k + GROUP]
                b = x_parts[of_x][:, k : k + GROUP]
                if parts == 3 and (of_f, of_x) == (0, 0):
                    exact = tensor_core_sum(a, b, exact)
                else:
                    sums = tensor_core_sum(a, b, sums)
        for each in (sums, exact):
            result = (result + each / x_scale[:, 0] / 2**15).astype(np.float32)
    return result * 2.0**15 / f_scale[:, 0]


def fp32_dot(x: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Sequential fused multiply-add in FP32."""
    total = np.zeros(len(x), np.float32)
    for column in range(x.shape[1]):
        total = (total + x[:, column] * f[:, column]).astype(np.float32)
    return total.astype(np.float64)


def data(kind: str, k: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    x, f = {
        "uniform": (random.random((2000, k)), random.random((2000, k)) - 0.5),
        "same sign": (random.random((2000, k)), random.random((2000, k))),
        "wide": (np.exp(random.uniform(math.log(1e-6), 0, (2000, k))), random.standard_normal((2000, k)) * 1e-5),
    }[kind]
    return x.astype(np.float32).astype(np.float64), f.astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("kind", ["uniform", "same sign", "wide"])
@pytest.mark.parametrize(("k", "parts"), [(5, 3), (27, 3), (48, 2), (147, 2), (576, 2)])
def test_no_worse_than_sequential_fp32(kind: str, k: int, parts: int) -> None:
    x, f = data(kind, k)
    reference = (x * f).sum(axis=1)
    errors = [np.linalg.norm(found - reference) for found in (dot(x, f, parts), fp32_dot(x, f))]
    assert errors[0] <= errors[1]


def test_parts_are_the_value() -> None:
    x, _ = data("wide", 64)
    scaled = x * scale(x)
    assert np.all(split(scaled, 3)[0] % 128 == 0)
    errors = {parts: np.abs(sum(split(scaled, parts)) - scaled) for parts in PRODUCTS}
    assert np.all(errors[2] <= np.maximum(np.abs(scaled) * 2.0**-22, 2.0**-25))
    assert np.all(errors[3] <= 2.0**-17)
    assert np.all(errors[3][scaled >= 2**13] == 0)


def test_integers_are_exact() -> None:
    random = np.random.default_rng(2)
    x, f = (random.integers(-8, 9, (200, 300)).astype(np.float64) for _ in range(2))
    for parts in PRODUCTS:
        assert np.array_equal(dot(x, f, parts), (x * f).sum(axis=1))


@pytest.mark.parametrize("problem", EDGES + random_problems(8, seed=4), ids=str)
def test_offsets_reach_every_value_of_a_window(problem: ConvProblem) -> None:
    offsets = window_offsets(problem)
    k = problem.gemm_shape[2]
    x = np.arange(problem.in_channels * problem.height * problem.width)
    window = x.reshape(problem.input_shape[1:])[:, : problem.kernel_h, : problem.kernel_w].ravel()
    assert len(offsets) % K_BLOCK == 0
    assert np.array_equal(x[offsets[:k] // FLOAT_BYTES], window)
    assert np.all(offsets[k:] == offsets[k - 1])
    pairs = window_offsets(problem, problem.kernel_w)
    assert np.array_equal(pairs[: k // problem.kernel_w], offsets[: k : problem.kernel_w])
    assert len(pairs) % K_BLOCK == 0


def test_exponent_limit_leaves_room_for_the_sum() -> None:
    problem = ConvProblem(1, 512, 7, 7, 512, 3, 3, 1)
    largest_exponent = exponent_limit(problem) - 1 - 127
    assert 2.0 ** (largest_exponent + 1) * problem.gemm_shape[2] <= 2.0**128


@pytest.mark.parametrize(
    "tile",
    [*WGMMA_TILES, *SLIDING_TILES, *MMA_TILES, *MMA_SLIDING_TILES],
    ids=lambda tile: f"{tile.program}<{tile.arguments}>",
)
def test_a_block_is_launchable(tile: TensorCoreTile) -> None:
    assert tile.threads <= 1024
    # A block's shared memory: 227 KiB on Hopper; 99 KiB on the smallest GPUs with the other instructions.
    assert tile.shared_bytes <= (99 if tile in (*MMA_TILES, *MMA_SLIDING_TILES) else 227) * 1024


@pytest.mark.parametrize(
    "tiles",
    [WGMMA_TILES, SLIDING_TILES, MMA_TILES, MMA_SLIDING_TILES],
    ids=["wgmma", "sliding", "mma", "mma_sliding"],
)
def test_choice(tiles: tuple[TensorCoreTile, ...]) -> None:
    few_tiles = ConvProblem(64, 512, 7, 7, 512, 3, 3, 1)
    found = choices(few_tiles, 132, tiles)
    assert sorted(tile.arguments for tile, _ in found) == sorted(tile.arguments for tile in tiles)
    tile, splits = found[0]
    assert math.prod(tile.tiles(few_tiles)) * splits > 66  # at least half of the multiprocessors


@pytest.mark.parametrize(
    "tile", [*SLIDING_TILES, *MMA_SLIDING_TILES], ids=lambda tile: f"{tile.program}<{tile.arguments}>"
)
def test_sliding_tiles_hold_what_the_outputs_need(tile: SlidingTile) -> None:
    for problem in filter(tile.supports, EDGES + random_problems(40, seed=5)):
        pitch, multiplier, *_ = tile.arguments_of(problem)
        assert -(2**31) <= multiplier < 2**31
        # The last tap of a row's last output is in the row's own positions.
        assert problem.out_width + (problem.kernel_w - 1) // problem.columns.stride == pitch
        assert math.prod(tile.tiles(problem)) * tile.m * tile.n >= (
            problem.out_channels * problem.batch * problem.out_height * pitch
        )


def test_sliding_tiles_say_which_filters_are_too_wide() -> None:
    widths = {width: SLIDING_TILES[0].supports(ConvProblem(1, 8, 50, 50, 8, 3, width, 2)) for width in (17, 18, 19)}
    assert widths == {17: True, 18: True, 19: False}


def test_tensor_cores_pay_where_they_are_more_than_three_times_as_fast() -> None:
    capabilities = ((8, 0), (8, 6), (8, 7), (8, 9), (9, 0), (10, 0), (10, 3), (12, 0), (12, 1))
    assert [one for one in capabilities if pays(one)] == [(8, 0), (9, 0), (10, 0), (10, 3)]


def test_tiles_end_within_the_split_filter() -> None:
    """Of 96 channels two would read beyond what 97 are padded to."""
    tile = next(one for one in MMA_SLIDING_TILES if one.m == 96)
    taken = {
        channels for channels in (64, 96, 97, 130, 192, 260) if tile.supports(ConvProblem(1, 8, 9, 9, channels, 3, 3))
    }
    assert taken == {64, 96, 130, 192, 260}

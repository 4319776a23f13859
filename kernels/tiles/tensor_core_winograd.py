"""Tile shapes of the tensor-core convolution with Winograd's minimal filtering."""

from __future__ import annotations

from dataclasses import dataclass

from ..problem import FLOAT_BYTES, ConvProblem
from .division import division_numbers
from .tensor_core import (
    CONSUMER_WARPGROUPS,
    EPILOGUE_BYTES,
    EPILOGUE_COLUMNS,
    K_BLOCK,
    MAX_SHARED_BYTES,
    MAX_WINDOW_BYTES,
    ROW_BYTES,
    TILE_ALIGNMENT,
    TensorCoreTile,
    window_buffer_bytes,
    window_factor_bytes,
)

DEFINITIONS: dict[str, int] = {}

#: (Rows of the filter, of a strip) -> from how many input channels on the error stays below sequential FP32's, for data
#: of one sign too (docs/tensor_cores.md).
_LEAST_CHANNELS = {(3, 2): 32, (3, 3): 64, (3, 4): 64, (5, 2): 64, (5, 3): 96, (5, 4): 96}


@dataclass(frozen=True, kw_only=True)
class WinogradTile(TensorCoreTile):
    """Shape in cuda/im2win_tensor_core_winograd.cu: `n` columns of strips of `outputs` rows, for a square filter.

    Each of the two consumers multiplies `columns` positions.
    """

    outputs: int
    kernel: int
    columns: int

    def expression(self, general: bool) -> str:
        return super().expression(general and not self.windows_in_memory)

    @property
    def consumers_n(self) -> int:
        """Consumers beside each other along the positions."""
        return CONSUMER_WARPGROUPS * 64 // self.m

    @property
    def units(self) -> int:
        """Units of EPILOGUE_COLUMNS positions of a tile."""
        return self.consumers_n * _part_units(self.columns, self.kernel, bool(self.windows_in_memory))

    def window_bytes(self, problem: ConvProblem) -> int:
        if not self.windows_in_memory:
            return 0
        buffers = self.tiles(problem)[1] * self.k_blocks(problem) * self.products
        return buffers * window_buffer_bytes(self.units)

    def windows_expression(self, problem: ConvProblem) -> str:
        return _windows_expression(self, problem.is_padded)

    def windows_grid(self, problem: ConvProblem) -> tuple[int, int]:
        return self.tiles(problem)[1] * self.consumers_n, self.k_blocks(problem)

    @property
    def windows_threads(self) -> int:
        return 128 * self.units // self.consumers_n

    def windows_numbers(self, problem: ConvProblem) -> tuple[int, ...]:
        return self.consumers_n, self.columns, *self.arguments_of(problem)

    @property
    def products(self) -> int:
        """Matrix products of a strip, for each column of the filter."""
        return self.outputs + self.kernel - 1

    @property
    def is_exact(self) -> bool:
        """Whether integers stay exact: the others' transforms of the filter have thirds."""
        return (self.outputs, self.kernel) == (2, 3)

    @property
    def filter_expression(self) -> str:
        """Name expression of the kernel that transforms and splits the filter."""
        return _filter_expression(self.outputs, self.kernel)

    def supports(self, problem: ConvProblem) -> bool:
        size, steps = (problem.kernel_h, problem.kernel_w), (problem.stride, problem.dilation, problem.groups)
        taken = size == (self.kernel, self.kernel) and steps == ((1, 1), (1, 1), 1)
        return taken and self.window_bytes(problem) <= MAX_WINDOW_BYTES

    def is_accurate(self, problem: ConvProblem) -> bool:
        """Whether the reduction is so long that the error stays below sequential FP32's."""
        return problem.in_channels >= _LEAST_CHANNELS[self.kernel, self.outputs]

    def taps(self, problem: ConvProblem) -> int:
        return self.products * self.kernel

    def k_blocks(self, problem: ConvProblem) -> int:
        return -(-problem.in_channels // K_BLOCK)

    def tiles(self, problem: ConvProblem) -> tuple[int, int]:
        return self.tiles_m(problem), -(-self.places(problem) // self.n)

    def arguments_of(self, problem: ConvProblem) -> tuple[int, ...]:
        numbers = (problem.columns.padded, self.strips(problem))
        return tuple(value for number in numbers for value in (number, *division_numbers(number)))

    def strips(self, problem: ConvProblem) -> int:
        """Strips of an image."""
        return -(-problem.out_height // self.outputs)

    def places(self, problem: ConvProblem) -> int:
        """Columns of all strips, those of the padded input."""
        return problem.batch * self.strips(problem) * problem.columns.padded


def _part_units(columns: int, kernel: int, in_memory: bool) -> int:
    """Units of a consumer's positions.

    In device memory those come besides that its windows reach beyond their first columns; elsewhere each unit has them.
    """
    return -(-(columns + (kernel - 1 if in_memory else 0)) // EPILOGUE_COLUMNS)


def _store_bytes(places: int) -> int:
    """Shared memory in which a block's results are put into the order of memory, and for where each lies."""
    row, place = (places + 23) // 32 * 32 + 8, 8
    return CONSUMER_WARPGROUPS * (4 * 4 * row * FLOAT_BYTES + places * place)


def _winograd(
    outputs: int,
    kernel: int,
    warpgroups_m: int,
    columns: int,
    stages: int,
    times: tuple[float, float],
    in_memory: bool = False,
) -> WinogradTile:
    """Two consumers, each 64 channels x `columns` positions; `stages` planes of the window tensor.

    The filter has the rest of shared memory, in slots of all taps of a product.
    """
    producers, products = 0 if in_memory else 1, outputs + kernel - 1
    consumers_n = CONSUMER_WARPGROUPS // warpgroups_m
    units = consumers_n * _part_units(columns, kernel, in_memory)
    planes = units * EPILOGUE_COLUMNS * ROW_BYTES
    maxima = producers * 2 * (products + 1) * 4 * FLOAT_BYTES
    factors = stages * window_factor_bytes(units) if in_memory else -(-stages * units // 2) * 2 * FLOAT_BYTES
    barrier_pair = 16
    slot = kernel * 64 * warpgroups_m * ROW_BYTES + barrier_pair
    used = TILE_ALIGNMENT + stages * planes + maxima + factors + stages * barrier_pair
    used += _store_bytes(outputs * columns) if in_memory and outputs < 4 else EPILOGUE_BYTES
    slots = min(4, (MAX_SHARED_BYTES - used) // slot)
    return WinogradTile(
        program="im2win_tensor_core_winograd",
        arguments=f"{outputs}, {kernel}, {warpgroups_m}, {columns}, {producers}, {slots}, {stages}",
        m=64 * warpgroups_m,
        n=consumers_n * columns if in_memory else units * (EPILOGUE_COLUMNS - (kernel - 1)),
        threads=128 * (CONSUMER_WARPGROUPS + producers + 1),
        shared_bytes=used + slots * slot,
        k_block_time=times[0],
        tile_time=times[1],
        parts=2,
        persistent=True,
        outputs=outputs,
        kernel=kernel,
        columns=columns,
        windows_in_memory=in_memory,
    )


#: Their times are a fit to layers of 3 x 3 and 5 x 5 at batch 64 on an H200; the plan times the tiles themselves.
WINOGRAD_TILES = (
    _winograd(2, 3, 2, 96, 8, (760, 6000)),
    _winograd(2, 3, 2, 64, 8, (580, 3600)),
    _winograd(3, 3, 2, 64, 10, (570, 6500)),
    _winograd(3, 3, 1, 64, 8, (850, 9500)),
    _winograd(4, 3, 2, 64, 12, (560, 9500)),
    _winograd(4, 3, 1, 64, 8, (860, 11500)),
    _winograd(2, 3, 2, 88, 4, (510, 2500), in_memory=True),
    _winograd(2, 3, 1, 120, 3, (660, 3500), in_memory=True),
    _winograd(3, 3, 2, 88, 3, (560, 6000), in_memory=True),
    _winograd(4, 3, 1, 72, 4, (470, 7000), in_memory=True),
    _winograd(3, 5, 2, 88, 2, (600, 6000), in_memory=True),
)


def _windows_expression(tile: WinogradTile, padded: bool) -> str:
    return f"write_windows<{tile.outputs}, {tile.kernel}, {tile.units // tile.consumers_n}, {int(padded)}>"


def _filter_expression(outputs: int, kernel: int) -> str:
    return f"transform_filter<{outputs}, {kernel}>"


_IN_MEMORY = tuple(tile for tile in WINOGRAD_TILES if tile.windows_in_memory)
#: Program -> name expressions of its kernels.
INSTANCES = {
    "im2win_tensor_core_winograd": (
        *dict.fromkeys(tile.expression(general) for tile in WINOGRAD_TILES for general in (False, True)),
        *dict.fromkeys(tile.filter_expression for tile in WINOGRAD_TILES),
        *dict.fromkeys(_windows_expression(tile, padded) for tile in _IN_MEMORY for padded in (False, True)),
    ),
}

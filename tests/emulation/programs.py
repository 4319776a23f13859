"""The kernels that are compiled for the CPU: all but those that take long and add little."""

from __future__ import annotations

from kernels.build.programs import PROGRAMS
from kernels.tiles.tiled import TILES, fused

#: Of 16 values of the reduction in a step and of 8; with few and with many pixels for each thread's copies.
PADDED_TILES = (TILES[1], TILES[4], TILES[7])


def emulated_kernels() -> dict[str, list[str]]:
    """Program -> name expressions. Of the tiles, an ablation has one, and the fused kernel few with padding."""
    kernels = {
        program: list(expressions[3:4] if "without" in program and len(expressions) > 1 else expressions)
        for program, expressions in PROGRAMS.items()
    }
    all_padded = {fused("WindowLoader", tile, padded=True) for tile in TILES}
    few_padded = {fused("WindowLoader", tile, padded=True) for tile in PADDED_TILES}
    kernels["im2win_fused"] = [name for name in kernels["im2win_fused"] if name not in all_padded - few_padded]
    return kernels

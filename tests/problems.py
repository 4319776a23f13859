"""Convolution problems that the kernel tests share."""

from __future__ import annotations

import random

from kernels.problem import ConvProblem

#: Shapes at the edges: single values, filters as large as the input, strides that skip, sizes beside the tiles'.
EDGES = [
    ConvProblem(1, 1, 1, 1, 1, 1, 1, 1),
    ConvProblem(1, 1, 5, 7, 1, 5, 7, 1),
    ConvProblem(2, 3, 9, 8, 5, 1, 1, 1),
    ConvProblem(2, 3, 9, 8, 5, 1, 1, 3),
    ConvProblem(1, 2, 11, 13, 3, 3, 2, 2),
    ConvProblem(3, 5, 8, 10, 65, 3, 3, 1),
    ConvProblem(1, 7, 12, 12, 129, 2, 5, 1),
    ConvProblem(2, 4, 18, 18, 97, 3, 3, 1),
    ConvProblem(1, 3, 23, 31, 96, 11, 11, 4),
    ConvProblem(2, 3, 17, 19, 64, 7, 7, 2),
    ConvProblem(5, 16, 7, 7, 130, 3, 3, 1),
    ConvProblem(1, 33, 6, 21, 17, 1, 4, 2),
]

#: For the fused kernel for short reductions: images of 4 k pixels. One or more tiles of them and of channels; tiles
#: that cross images; an end within a tile.
SHORT_REDUCTIONS = [
    ConvProblem(3, 3, 26, 25, 64, 3, 3, 1),
    ConvProblem(5, 1, 17, 18, 70, 2, 3, 1),
    ConvProblem(2, 2, 41, 83, 130, 3, 4, 2),
    ConvProblem(9, 27, 18, 18, 33, 1, 1, 1),
    ConvProblem(1, 3, 4, 4, 5, 3, 3, 1),
]


def random_problems(count: int, seed: int) -> list[ConvProblem]:
    """Small problems with odd sizes, the same for the same seed."""
    draw = random.Random(seed).randint
    problems = []
    for _ in range(count):
        height, width = draw(1, 24), draw(1, 24)
        problems.append(
            ConvProblem(
                batch=draw(1, 4),
                in_channels=draw(1, 20),
                height=height,
                width=width,
                out_channels=draw(1, 140),
                kernel_h=draw(1, min(height, 7)),
                kernel_w=draw(1, min(width, 7)),
                stride=draw(1, min(4, max(height, width))),
            )
        )
    return problems

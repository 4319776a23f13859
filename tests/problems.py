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

#: For Winograd's minimal filtering down the columns: 3 x 3 and 5 x 5. Strips that end below the last row, tiles
#: that cross strips and images, channels in whole K blocks and not, padding on every side.
STRIPS = [
    ConvProblem(2, 33, 12, 9, 70, 3, 3, 1),
    ConvProblem(2, 66, 7, 9, 70, 3, 3, 1),
    ConvProblem(1, 40, 11, 11, 130, 3, 3, padding=1),
    ConvProblem(3, 5, 6, 8, 20, 3, 3, padding=((2, 1), (3, 0))),
    ConvProblem(5, 32, 3, 40, 64, 3, 3, 1),
    ConvProblem(1, 3, 2, 1, 5, 3, 3, padding=((1, 2), (2, 1))),
    ConvProblem(2, 33, 12, 9, 70, 5, 5, 1),
    ConvProblem(1, 70, 9, 11, 130, 5, 5, padding=2),
    ConvProblem(2, 4, 5, 20, 9, 5, 5, padding=((0, 3), (4, 1))),
    # Rows that are wider than a tile, and images of which a tile has many.
    ConvProblem(1, 3, 3, 260, 5, 3, 3, padding=1),
    ConvProblem(50, 3, 4, 4, 9, 3, 3, 1),
    ConvProblem(1, 3, 5, 120, 5, 5, 5, padding=((0, 0), (2, 2))),
    ConvProblem(40, 3, 5, 5, 9, 5, 5, 1),
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


def _grouped_layer(channels: int, size: int, kernel: int, stride: int, groups: int) -> ConvProblem:
    pad = (kernel // 2, kernel // 2)
    return ConvProblem(3, channels, size, size, channels, kernel, kernel, (stride, stride), (pad, pad), (1, 1), groups)


#: The depthwise layers of ConvNeXt-T and MobileNetV3-L, and ResNeXt-50's of 32 groups.
GROUPED_LAYERS = [
    *(_grouped_layer(channels, size, 7, 1, channels) for channels, size in ((96, 56), (192, 28), (384, 14), (768, 7))),
    *(
        _grouped_layer(channels, size, kernel, stride, channels)
        for channels, size, kernel, stride in (
            *((16, 112, 3, 1), (64, 112, 3, 2), (72, 56, 3, 1), (72, 56, 5, 2), (120, 28, 5, 1), (240, 28, 3, 2)),
            *((200, 14, 3, 1), (184, 14, 3, 1), (480, 14, 3, 1), (672, 14, 3, 1), (672, 14, 5, 2), (960, 7, 5, 1)),
        )
    ),
    *(
        _grouped_layer(channels, size, 3, stride, 32)
        for channels, size, stride in (
            *((128, 56, 1), (256, 56, 2), (256, 28, 1), (512, 28, 2), (512, 14, 1), (1024, 14, 2), (1024, 7, 1)),
        )
    ),
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


#: Padding, dilation, strides and groups, each by itself and mixed. Padding is ((above, below), (left, right)).
MIXED = [
    # One thing at a time.
    ConvProblem(2, 3, 9, 8, 5, 3, 3, padding=((1, 1), (1, 1))),
    ConvProblem(2, 3, 9, 8, 5, 3, 3, dilation=(2, 2)),
    ConvProblem(2, 3, 9, 8, 5, 3, 2, stride=(1, 3)),
    ConvProblem(2, 6, 9, 8, 9, 3, 3, groups=3),
    # Padding on one side only, and of every side another.
    ConvProblem(2, 3, 8, 9, 5, 3, 3, padding=((0, 1), (0, 1)), stride=(2, 2)),
    ConvProblem(1, 4, 7, 10, 33, 4, 3, padding=((1, 2), (3, 0)), dilation=(1, 2), stride=(3, 1)),
    # A filter larger than its input.
    ConvProblem(2, 2, 2, 3, 3, 5, 4, padding=((2, 1), (1, 1))),
    ConvProblem(1, 2, 1, 1, 3, 3, 3, padding=((1, 1), (1, 1))),
    # Padding beyond the filter's reach: windows that lie wholly in padding.
    ConvProblem(2, 3, 4, 5, 7, 2, 2, padding=((3, 4), (4, 2))),
    ConvProblem(1, 3, 3, 3, 4, 1, 1, padding=((2, 2), (2, 2)), stride=(2, 3)),
    # Windows that straddle the input: taps before and after it, none inside.
    ConvProblem(1, 2, 2, 2, 3, 2, 2, padding=((2, 2), (1, 2)), dilation=(4, 3)),
    # Depthwise, with one filter a channel and with several; a group of one output channel.
    ConvProblem(2, 8, 9, 9, 8, 3, 3, padding=((1, 1), (1, 1)), groups=8),
    ConvProblem(1, 5, 10, 7, 15, 3, 2, padding=((1, 0), (0, 1)), stride=(2, 1), dilation=(2, 1), groups=5),
    ConvProblem(1, 6, 6, 5, 3, 2, 3, padding=((0, 1), (1, 1)), groups=3),
    # Groups beside a tile's size, and 1 x 1.
    ConvProblem(1, 34, 7, 7, 66, 3, 3, padding=((1, 1), (1, 1)), groups=2),
    ConvProblem(3, 8, 6, 5, 20, 1, 1, groups=4),
    # One dimension.
    ConvProblem(2, 4, 1, 40, 6, 1, 5, padding=((0, 0), (8, 0)), dilation=(1, 2)),
    ConvProblem(3, 6, 1, 33, 6, 1, 7, padding=((0, 0), (3, 3)), stride=(1, 2), groups=6),
    ConvProblem(1, 10, 1, 50, 16, 1, 3, padding=((0, 0), (4, 4)), dilation=(1, 4)),
    # Dilation as segmentation networks have it.
    ConvProblem(1, 4, 12, 12, 18, 3, 3, padding=((4, 4), (4, 4)), dilation=(4, 4)),
    ConvProblem(2, 8, 13, 11, 12, 3, 3, padding=((2, 2), (3, 3)), dilation=(2, 3), stride=(2, 2), groups=2),
]


def mixed_problems(count: int, seed: int) -> list[ConvProblem]:
    """Small problems with padding, dilation, two strides and groups at random, the same for the same seed."""
    chance = random.Random(seed)
    return [_mixed_problem(chance) for _ in range(count)]


def _mixed_problem(chance: random.Random) -> ConvProblem:
    draw = chance.randint
    one_row = chance.random() < 0.2
    sizes = (1 if one_row else draw(1, 14), draw(1, 14))
    kernels = (1 if one_row else draw(1, 5), draw(1, 5))
    dilations = [chance.choice((1, 1, 2, 3, 4)) for _ in sizes]
    padding = []
    for size, kernel, dilation in zip(sizes, kernels, dilations, strict=True):
        reach = (kernel - 1) * dilation + 1
        before = chance.choice((0, 0, draw(0, 3), reach // 2, draw(0, reach + 2)))
        after = chance.choice((before, before, draw(0, 3)))
        padding.append((before, max(after, reach - before - size)))  # the filter fits
    if one_row:
        dilations[0], padding[0] = 1, (0, 0)
    group_in, group_out, groups = chance.choice(
        (
            (draw(1, 12), draw(1, 70), 1),
            (draw(1, 6), draw(1, 20), draw(2, 4)),
            (1, draw(1, 3), draw(2, 12)),  # depthwise
        )
    )
    strides = [draw(1, min(4, size + sum(sides))) for size, sides in zip(sizes, padding, strict=True)]
    return ConvProblem(
        batch=draw(1, 3),
        in_channels=group_in * groups,
        height=sizes[0],
        width=sizes[1],
        out_channels=group_out * groups,
        kernel_h=kernels[0],
        kernel_w=kernels[1],
        stride=(strides[0], strides[1]),
        padding=(padding[0], padding[1]),
        dilation=(dilations[0], dilations[1]),
        groups=groups,
    )

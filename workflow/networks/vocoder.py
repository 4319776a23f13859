"""A vocoder of HiFi-GAN's kind (Kong et al. 2020, arXiv:2010.05646): waveforms from mel spectrograms, in one dimension.

Written from the paper, with the sizes of its V1 as defaults. Without weight normalization, which is folded into the
weights before a network of this kind is used.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import leaky_relu

_SLOPE = 0.1


class ResidualBlock(nn.Module):
    """Pairs of a dilated convolution and one that is not, each pair with a residual connection around it."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.dilated = nn.ModuleList(_same(channels, channels, kernel, dilation) for dilation in dilations)
        self.plain = nn.ModuleList(_same(channels, channels, kernel) for _ in dilations)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            x = x + plain(leaky_relu(dilated(leaky_relu(x, _SLOPE)), _SLOPE))
        return x


class Stage(nn.Module):
    """A transposed convolution, which makes its input `rate` times as long and halves the channels, and the mean of
    residual blocks with filters of different widths.
    """

    def __init__(self, channels: int, rate: int, kernels: Sequence[int], dilations: Sequence[int]) -> None:
        super().__init__()
        halved = channels // 2
        self.longer = nn.ConvTranspose1d(channels, halved, 2 * rate, rate, padding=rate // 2)
        self.blocks = nn.ModuleList(ResidualBlock(halved, kernel, dilations) for kernel in kernels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        longer = self.longer(leaky_relu(x, _SLOPE))
        return torch.stack([block(longer) for block in self.blocks]).mean(0)


class Generator(nn.Module):
    """Mel spectrograms (batch, mels, frames) to waveforms (batch, 1, frames x the product of `rates`)."""

    def __init__(
        self,
        mels: int = 80,
        channels: int = 512,
        rates: Sequence[int] = (8, 8, 2, 2),
        kernels: Sequence[int] = (3, 7, 11),
        dilations: Sequence[int] = (1, 3, 5),
    ) -> None:
        super().__init__()
        self.first = _same(mels, channels, 7)
        stages = [Stage(channels >> index, rate, kernels, dilations) for index, rate in enumerate(rates)]
        self.stages = nn.Sequential(*stages)
        self.last = _same(channels >> len(stages), 1, 7)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.last(leaky_relu(self.stages(self.first(mel)), _SLOPE)))


def _same(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Conv1d:
    """A convolution whose output is as long as its input."""
    return nn.Conv1d(inputs, outputs, kernel, padding=dilation * (kernel - 1) // 2, dilation=dilation)

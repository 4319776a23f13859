"""A hundred convolutions that are computed faster than they are called: what a call costs the host.

Run eagerly, and only so; divided by their number, the time of a forward pass is that of one call of a module.
"""

from __future__ import annotations

import torch
from torch import nn

COUNT = 100
_CHANNELS, _KERNEL = 64, 3


class Calls(nn.Sequential):
    """Convolutions without bias, one after the other; outputs are about as large as inputs, however many there are."""

    def __init__(self, count: int = COUNT) -> None:
        super().__init__(*(nn.Conv2d(_CHANNELS, _CHANNELS, _KERNEL, padding=1, bias=False) for _ in range(count)))
        with torch.no_grad():
            for weight in self.parameters():
                weight.normal_(std=(_CHANNELS * _KERNEL**2) ** -0.5)

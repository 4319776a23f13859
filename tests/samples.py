"""PyTorch's own sample inputs of a convolution, by the operator and by PyTorch: forward and backward.

    python -m tests.samples DEVICE

A process of its own, since importing PyTorch's samples changes PyTorch's switches.
"""

from __future__ import annotations

import sys

import torch
from torch.nn import functional
from torch.testing._internal.common_methods_invocations import op_db

import kernels


def main(device: str) -> int:
    """How many samples were compared; raises AssertionError where one differs."""
    checked = 0
    for name in ("conv1d", "conv2d"):
        (info,) = [one for one in op_db if one.name == f"nn.functional.{name}"]
        for sample in info.sample_inputs(device, torch.float32, requires_grad=True):
            results = []
            for convolve in (getattr(kernels, name), getattr(functional, name)):
                inputs = [sample.input, *(one for one in sample.args if isinstance(one, torch.Tensor))]
                y = convolve(sample.input, *sample.args, **sample.kwargs)
                results.append([y, *torch.autograd.grad(y.sum(), inputs)])
            for one, other in zip(*results, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
            checked += 1
    return checked


if __name__ == "__main__":
    print(f"{main(sys.argv[1])} samples agree")

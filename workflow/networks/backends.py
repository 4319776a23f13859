"""What computes the convolutions of a network that is timed, and how its forward pass runs. Imports no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Backend:
    """What computes the convolutions."""

    #: The class of arithmetic of this project's kernels; empty: PyTorch computes.
    numerics: str = ""
    tf32: bool = False
    channels_last: bool = False
    #: Batch norm is folded into the convolutions; ours do bias, residuals and ReLU as well.
    folded: bool = False
    #: What PyTorch reads at its first convolution.
    environment: dict[str, str] = field(default_factory=dict)


_OLDER = {"TORCH_CUDNN_V8_API_DISABLED": "1"}
#: Name -> backend. PyTorch's autotuner chooses among cuDNN's engines in each of its own.
BACKENDS = {
    "pytorch": Backend(),
    "pytorch_legacy": Backend(environment=_OLDER),
    "pytorch_channels_last": Backend(channels_last=True),
    "pytorch_tf32": Backend(tf32=True),
    "pytorch_tf32_channels_last": Backend(tf32=True, channels_last=True),
    "pytorch_folded": Backend(folded=True),
    "pytorch_tf32_folded": Backend(tf32=True, folded=True),
    "im2win": Backend("fp32_accurate"),
    "im2win_strict": Backend("strict_fp32"),
    "im2win_fused": Backend("fp32_accurate", folded=True),
}
MODES = ("eager", "compile", "graph")

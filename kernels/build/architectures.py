"""Names of GPU architectures, as NVRTC takes them. Needs neither PyTorch nor CUDA."""

from __future__ import annotations


def architecture_name(major: int, minor: int) -> str:
    """NVRTC's name for a compute capability, e.g. `sm_86`; Hopper's is `sm_90a`, which alone offers wgmma."""
    return f"sm_{major}{minor}" + ("a" if (major, minor) == (9, 0) else "")

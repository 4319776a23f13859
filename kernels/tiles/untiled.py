"""The kernels that compute one output per thread: direct.cu and im2win_base.cu."""

from __future__ import annotations

DEFINITIONS: dict[str, int] = {}


def direct(general: bool) -> str:
    """Name expression of the naive convolution; `general` for padding, dilation or groups."""
    return f"direct<{int(general)}>"


def im2win_base(general: bool) -> str:
    """Name expression of im2win without any optimization; `general` for dilated columns or groups."""
    return f"im2win_base<{int(general)}>"


#: Program -> name expressions of its kernels.
INSTANCES = {
    "direct": (direct(False), direct(True)),
    "im2win_base": (im2win_base(False), im2win_base(True)),
}

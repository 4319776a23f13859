"""Names of GPU architectures, as NVRTC takes them. Needs neither PyTorch nor CUDA."""

from __future__ import annotations

import re

#: cp.async, with which the kernels copy into shared memory, came with it.
OLDEST_ARCHITECTURE = 80
_FORMS = re.compile(r"(?:sm_?|compute_?)?(\d{1,2})\.?(\d)([af]?)", re.IGNORECASE | re.ASCII)


def architecture_name(major: int, minor: int) -> str:
    """NVRTC's name for a compute capability, e.g. `sm_86`; Hopper's is `sm_90a`, which alone offers wgmma."""
    return f"sm_{major}{minor}" + ("a" if (major, minor) == (9, 0) else "")


def normalize(name: str) -> str:
    """NVRTC's name of an architecture that is written `90`, `9.0`, `sm90`, `SM_90` or `compute_90`: `sm_90a`.

    Hopper's gets the `a` that `architecture_name` gives it, since the kernels use wgmma. Raises ValueError, which says
    what the name should look like.
    """
    found = _FORMS.fullmatch(str(name).strip())
    if not found:
        raise ValueError(f"{name!r} is no architecture of a GPU; write it as sm_80, sm_90a or sm_120")
    major, minor, suffix = found.groups()
    return f"sm_{int(major)}{minor}{suffix.lower()}" if suffix else architecture_name(int(major), int(minor))

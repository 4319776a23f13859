"""The hash of the measuring program, which every result records: another program is another measurement."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from analysis.table import statistics
from kernels.build.sources import folder_hash, source_hash

#: What the harness takes from elsewhere and every time rests on.
_BESIDE = (Path(statistics.__file__),)


@cache
def harness_hash() -> str:
    """Hash of the meaning of every module of this folder, so that none can be forgotten, and of the statistics."""
    return folder_hash(Path(__file__).parent, *_BESIDE)


def ceilings_hash() -> str:
    """Hash of what measures the machine's ceilings (workflow.harness.ceilings)."""
    return source_hash("workflow.harness.ceilings", ["ceilings"])

"""The hash of the measuring program, which every result records: another program is another measurement."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from kernels.build.sources import folder_hash, source_hash


@cache
def harness_hash() -> str:
    """Hash of the meaning of every module of this folder, so that none can be forgotten."""
    return folder_hash(Path(__file__).parent)


def ceilings_hash() -> str:
    """Hash of what measures the machine's ceilings (workflow.harness.ceilings)."""
    return source_hash("workflow.harness.ceilings", ["ceilings"])

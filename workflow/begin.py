"""What a run does before its first job."""

from __future__ import annotations

from collections.abc import Sequence

from workflow.lock import hold
from workflow.slurm import take_over
from workflow.stop import clear


def begin(results: str, logs: Sequence[str]) -> None:
    """Have the folder of results to itself, without what an earlier run left; `logs` are Snakemake's own."""
    hold(results)
    clear(results)
    take_over(results, logs)

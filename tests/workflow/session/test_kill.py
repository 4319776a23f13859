"""SIGKILL of a whole run at random moments: the next one completes, and measures nothing of what was recorded."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.slurm.runs import POINTS
from tests.workflow.conftest import Checkout, pretend

# CI plays four of them; KILLS=20 is the complete test, some six minutes.
KILLS = int(os.environ.get("KILLS", "4"))
TARGETS = ("results/cpu/measurements.csv", "--config", "experiment=tiny", "layer=odd_window")


def recorded(folder: Path) -> set[str]:
    """`layer/algorithm` of every recorded point; fails where a file is half-written."""
    points = folder / POINTS
    files = [*points.glob("*/*/result.json")]
    for file in [*files, *points.glob("*/*/job-*.json")]:
        json.loads(file.read_text())
    return {str(file.parent.relative_to(points)) for file in files}


def play(checkout: Checkout, after_seconds: float) -> int:
    """Kill one run, complete it with another; returns how many points the killed one had recorded."""
    folder = checkout.folder
    shutil.rmtree(folder / "results", ignore_errors=True)
    (folder / "measured.log").unlink(missing_ok=True)
    running = subprocess.Popen(
        checkout.command(*TARGETS),
        cwd=folder,
        env=checkout.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(after_seconds)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    time.sleep(0.3)  # the measuring process dies with its parent
    kept = recorded(folder)
    checkout.taken()
    checkout.ran(*TARGETS)
    again = [line.split()[0] for line in checkout.taken()]
    table_was_there = len(kept) == 5 and not again
    assert table_was_there or not kept & set(again), f"{kept & set(again)} measured again"
    assert len(again) == len(set(again)) == 5 - len(kept)
    assert len(recorded(folder)) == 5
    return len(kept)


@pytest.mark.slow
def test_kills(real_checkout: Checkout) -> None:
    pretend(real_checkout)
    checkout = replace(real_checkout, forked=True)
    checkout.outcomes(seconds=0.6)
    chance = random.Random()
    moments = [chance.uniform(1, 8.5) for _ in range(KILLS)]
    print("killed after seconds, with points recorded:", [(round(m, 2), play(checkout, m)) for m in moments])

"""Lines on how far a run is: of what it measures, not of what was there."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.workflow.conftest import Checkout
from workflow.session import progress
from workflow.session.progress import Progress, written_at


def result(folder: Path, layer: str, algorithm: str) -> Path:
    path = folder / "suite/strict_fp32/batch64" / layer / algorithm / "result.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_lines(tmp_path: Path) -> None:
    paths = [result(tmp_path, f"conv{number}", "im2win") for number in range(1, 11)]
    paths[9].write_text("of an earlier run, and failed")
    run = Progress({path: written_at(path) for path in paths})
    assert run.look(101.0) == ""
    paths[0].write_text("ok")  # after minutes of compiling
    assert run.look(700.0) == "measured 1 of 10 points (last: conv1, im2win)"
    assert run.look(710.0) == ""
    paths[1].write_text("ok")
    assert run.look(730.0) == "measured 2 of 10 points, about 4 min left (last: conv2, im2win)"
    for path in paths[2:9]:
        path.write_text("ok")
    assert run.look(880.0) == "measured 9 of 10 points, less than a minute left (last: conv9, im2win)"
    paths[9].write_text("ok")
    os.utime(paths[9], ns=(0, time.time_ns() + 1))
    assert run.look(290.0) == "measured 10 of 10 points (last: conv10, im2win)"


def test_a_line_fits_into_a_terminal(tmp_path: Path) -> None:
    paths = [result(tmp_path, "l" * 50, name * 40) for name in "abc"]
    run = Progress(dict.fromkeys(paths))
    paths[0].write_text("ok")
    run.look(0.0)
    paths[1].write_text("ok")
    line = run.look(40000.0)
    assert line.startswith("measured 2 of 3 points, about 11.1 h left (last: lll")
    assert len(line) == 79


def test_a_run_says_how_far_it_is(checkout: Checkout) -> None:
    checkout.outcomes(seconds=1.5)
    text = (checkout.folder / "workflow/session/progress.py").read_text()
    assert f"_SECONDS = {progress._SECONDS}" in text
    checkout.replace("workflow/session/progress.py", f"_SECONDS = {progress._SECONDS}", "_SECONDS = 0.3")
    tiny = ("results/cpu/measurements.csv", "--config", "experiment=tiny", "layer=odd_window")
    output = checkout.ran(*tiny, "algorithm=cpu_torch,cpu_fft")
    assert "measured 1 of 2 points" in output
    assert "measured 2 of 2 points (last: odd_window, cpu_" in output
    assert "of 1 points" in checkout.ran(*tiny, "algorithm=cpu_torch,cpu_fft,cpu_direct")

"""The Slurm profile on a real Slurm: jobs, GPUs and results of a run, and what another run makes of an interrupted one."""

from __future__ import annotations

import csv
import os
import signal
import time
from itertools import pairwise
from typing import Any

import pytest

from tests.slurm.cluster import GPUS
from tests.slurm.conftest import POINTS, Run, settled

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]
TEN = "layer=odd_window,odd_channels"


def shape(run: Run, folder: str) -> list[tuple[Any, ...]]:
    """A results table without what differs from one measurement to the next."""
    same = ("experiment", "suite", "protocol", "numerics", "batch", "layer", "algorithm", "status", "tensor_bytes")
    with (run.checkout.folder / folder / "measurements.csv").open() as file:
        return [tuple(row[key] for key in same) + (bool(row["time_ms"]),) for row in csv.DictReader(file)]


def test_results_are_those_of_a_local_run(real_run: Run) -> None:
    arguments = ("layer=odd_window", "algorithm=cpu_direct,cpu_torch,cpu_im2win")
    before = len(real_run.slurm.finished())
    real_run.succeed(*arguments)
    jobs = real_run.slurm.finished()[before:]
    assert [job["JobState"] for job in jobs] == ["COMPLETED"]
    assert not list((real_run.checkout.folder / POINTS).rglob("recorded.json"))
    local = ("local/cpu/measurements.csv", "--config", "experiment=tiny", "results=local", *arguments)
    real_run.checkout.ran(*local)
    assert shape(real_run, "results/cpu") == shape(real_run, "local/cpu")


def test_one_job_on_a_gpu_and_one_gpu_in_a_job(run: Run) -> None:
    run.group = 3
    before = len(run.slurm.finished())
    output = run.succeed(TEN)
    jobs = run.slurm.finished()[before:]
    assert [job["JobState"] for job in jobs] == ["COMPLETED"] * 4, output
    lines = [line.split() for line in (run.checkout.folder / "measured.log").read_text().splitlines()]
    assert len(lines) == len({line[0] for line in lines}) == 10
    assert {line[2] for line in lines} <= {str(index) for index in range(GPUS)}
    for gpu in {line[2] for line in lines}:
        times = sorted((float(line[3]), float(line[4])) for line in lines if line[2] == gpu)
        assert all(first[1] <= second[0] for first, second in pairwise(times))


def finish(run: Run, recorded: set[str]) -> None:
    """The second run: completes, measures nothing of what was recorded, leaves nothing behind."""
    before = len(run.measured())
    run.seconds(0.1)
    run.succeed(TEN)
    again = run.measured()[before:]
    assert not recorded & set(again)
    assert len(again) == len(set(again)) == 10 - len(recorded)
    settled(run.slurm)


def test_a_job_is_killed(run: Run) -> None:
    first = run.start(TEN)
    run.until_recorded(2)
    run.slurm.ask("scancel", run.slurm.jobs("RUNNING")[0])
    assert first.wait(120) != 0
    settled(run.slurm)
    assert 2 <= len(run.recorded()) < 10, run.output()
    finish(run, run.recorded())


def test_a_job_runs_out_of_time(run: Run) -> None:
    run.group = 10
    run.seconds(3)
    first = run.start(TEN)
    run.until_recorded(1)
    # Time limits are whole minutes; this puts the end of it now.
    run.slurm.ask("scontrol", "update", f"JobId={run.slurm.jobs('RUNNING')[0]}", "EndTime=now")
    assert first.wait(120) != 0
    assert run.slurm.finished()[-1]["JobState"] == "TIMEOUT"
    finish(run, run.recorded())


def test_snakemake_is_interrupted(run: Run) -> None:
    first = run.start(TEN)
    run.until_recorded(2)
    os.kill(first.pid, signal.SIGINT)
    first.wait(60)
    settled(run.slurm)
    assert len(run.recorded()) < 10
    finish(run, run.recorded())


def test_snakemake_is_killed(run: Run) -> None:
    run.seconds(2)
    run.start(TEN)
    run.until_recorded(2)
    run.kill()
    time.sleep(1)
    orphans = run.slurm.jobs()
    assert orphans, "the jobs of a killed Snakemake go on"
    before = run.recorded()
    run.seconds(0.1)
    output = run.succeed(TEN)
    assert f"Cancelling {len(orphans)} Slurm job" in output
    assert not set(run.slurm.jobs()) & set(orphans)
    measured = run.measured()
    assert set(measured) >= before
    assert len(measured) == len(set(measured)) == 10
    settled(run.slurm)


def test_the_controller_is_restarted(run: Run) -> None:
    run.seconds(1)
    first = run.start(TEN)
    run.until_recorded(1)
    run.slurm.stop_controller()
    time.sleep(3)
    run.slurm.start_controller()
    if first.wait(150) != 0:
        settled(run.slurm)
    finish(run, run.recorded() or set(run.measured()))

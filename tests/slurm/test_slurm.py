"""The Slurm profile on a real Slurm: jobs, GPUs, results, and what a second run makes of an interrupted one.

Most of the time Snakemake waits to ask Slurm again, so the scenarios run at once, each in its own checkout and Slurm.
"""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from tests.slurm.cluster import TYPES, why_not
from tests.slurm.documented import follow
from tests.slurm.runs import Run, running

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]
TEN = "layer=odd_window,odd_channels"
AT_ONCE = 4


def shape(run: Run, folder: str) -> list[tuple[Any, ...]]:
    """A results table without what differs from one measurement to the next."""
    same = ("experiment", "suite", "protocol", "numerics", "batch", "layer", "algorithm", "status", "tensor_bytes")
    with (run.checkout.folder / folder / "measurements.csv").open() as file:
        return [tuple(row[key] for key in same) + (bool(row["time_ms"]),) for row in csv.DictReader(file)]


def results_are_those_of_a_local_run(run: Run) -> None:
    arguments = ("layer=odd_window", "algorithm=cpu_direct,cpu_torch,cpu_im2win")
    run.succeed(*arguments)
    assert [job["JobState"] for job in run.slurm.finished()] == ["COMPLETED"] * 2  # the machine's ceilings, the points
    run.checkout.ran("local/cpu/measurements.csv", "--config", "experiment=tiny", "results=local", *arguments)
    assert shape(run, "results/cpu") == shape(run, "local/cpu")
    assert all(row[-1] for row in shape(run, "results/cpu"))


def one_job_on_a_gpu_and_one_gpu_in_a_job(run: Run) -> None:
    run.size = 3
    output = run.succeed(TEN)
    assert [job["JobState"] for job in run.slurm.finished()] == ["COMPLETED"] * 5, output
    lines = [line.split() for line in (run.checkout.folder / "measured.log").read_text().splitlines()]
    assert len(lines) == len({line[0] for line in lines}) == 10
    assert {line[2] for line in lines} == {str(index) for index in TYPES["fake"]}
    for gpu in {line[2] for line in lines}:
        times = sorted((float(line[3]), float(line[4])) for line in lines if line[2] == gpu)
        assert all(first[1] <= second[0] for first, second in pairwise(times))


def gpus_are_asked_for_in_each_way(run: Run) -> None:
    """By --gpus, --gpus-per-node and --gres, with a type, with one that has hyphens and without."""
    asked = {"cpu_torch": ("gpus", "any"), "cpu_fft": ("gpus", "a100"), "cpu_im2col": ("gres", "fake")}
    asked["cpu_im2win"] = ("gres", "any")
    for algorithm, (run.option, model) in asked.items():
        run.succeed("layer=odd_window", f"algorithm={algorithm}", model=model)
    gpus = [line.split()[2] for line in (run.checkout.folder / "measured.log").read_text().splitlines()]
    assert all(gpu.isdecimal() for gpu in gpus), "one GPU for each job"
    assert (int(gpus[1]),) == TYPES["nvidia_a100-sxm4-80gb"]
    assert int(gpus[2]) in TYPES["fake"]
    assert run.slurm.ask("scontrol", "show", "jobs").count("Nice=7") == 1


def the_documented_commands(run: Run) -> None:
    follow(run)
    jobs = run.slurm.finished()
    # For each model its ceilings and a job of both points; neither what is drawn nor `snakemake archive` measures.
    assert [job["JobState"] for job in jobs] == ["COMPLETED"] * 4
    assert sorted(job["Partition"] for job in jobs) == ["gpu-a100"] * 2 + ["gpu-h100"] * 2
    lines = [line.split() for line in (run.checkout.folder / "measured.log").read_text().splitlines()]
    algorithms = ("direct", "im2col_cublas")
    assert sorted((line[0], line[2]) for line in lines) == [
        (f"conv12/{name}", gpu) for name in algorithms for gpu in ("GPU-a", "GPU-h")
    ]
    for device in ("nvidia-h100-80gb-hbm3", "nvidia-a100-sxm4-80gb"):
        assert (run.checkout.folder / "results" / device / "report.html").exists()
        assert (run.checkout.folder / "analysis/archive" / device / "measurements.csv").exists()
    assert (run.checkout.folder / "results/comparison/report.html").exists()


def finish(run: Run) -> None:
    """The second run: completes, measures nothing of what was recorded, leaves nothing behind."""
    assert run.settled()
    recorded = run.recorded()
    before = len(run.measured())
    run.seconds(0.1)
    run.succeed(TEN)
    again = run.measured()[before:]
    assert not recorded & set(again), f"{recorded & set(again)} measured again: {run.output()}"
    assert len(again) == len(set(again)) == 10 - len(recorded)
    assert run.settled()


def a_job_is_killed(run: Run) -> None:
    run.seconds(2)  # on a busy machine the job would be over before it is killed
    first = run.start(TEN)
    run.until_recorded(2)
    run.slurm.ask("scancel", run.slurm.jobs("RUNNING")[0])
    assert first.wait(240) != 0
    assert 2 <= len(run.recorded()) < 10, run.output()
    finish(run)


def a_job_runs_out_of_time(run: Run) -> None:
    run.size = 10
    run.seconds(15)
    first = run.start(TEN)
    run.until_recorded(1)
    # The ten points have ten minutes; the shortest limit is one.
    answer = run.slurm.ask("scontrol", "update", f"JobId={run.slurm.jobs('RUNNING')[0]}", "TimeLimit=1")
    assert not answer.strip(), answer
    assert first.wait(240) != 0
    (job,) = [job for job in run.slurm.finished() if job["JobState"] != "COMPLETED"]
    # Slurm ends the job, or refuses it another step: then the job fails.
    assert job["JobState"] in ("TIMEOUT", "FAILED")
    assert 1 <= len(run.recorded()) < 10, run.output()
    finish(run)


def a_node_is_set_down(run: Run) -> None:
    """Slurm ends its jobs and puts them back into the queue, where they wait for a node; they begin again there."""
    run.seconds(2)
    first = run.start(TEN)
    run.until_recorded(2)
    running = run.slurm.jobs("RUNNING")
    run.slurm.ask("scontrol", "update", "NodeName=node1", "State=DOWN", "Reason=test")
    run.slurm.wait(lambda: not run.slurm.jobs("RUNNING", "COMPLETING"), "end of the jobs on the node")
    time.sleep(1)  # the measuring process dies with its job
    recorded, before = run.recorded(), len(run.measured())
    assert 2 <= len(recorded) < 10, run.output()
    run.slurm.ask("scontrol", "update", "NodeName=node1", "State=RESUME")
    run.seconds(0.1)
    if first.wait(240) != 0:  # a cluster that does not put jobs back (JobRequeue=0)
        finish(run)
        return
    assert set(running) & {job["JobId"] for job in run.slurm.finished() if job["JobState"] == "COMPLETED"}
    again = run.measured()[before:]
    assert not recorded & set(again), f"{recorded & set(again)} measured again: {run.output()}"
    assert len(again) == len(set(again)) == 10 - len(recorded)


def snakemake_is_interrupted(run: Run) -> None:
    run.seconds(2)
    first = run.start(TEN)
    run.until_recorded(2)
    run.seconds(30)  # however long a busy machine takes to stop them, the jobs would take longer
    os.kill(first.pid, signal.SIGINT)
    first.wait(240)
    assert len(run.recorded()) < 10
    finish(run)


def snakemake_is_killed(run: Run) -> None:
    run.seconds(3)
    run.start(TEN)
    run.until_recorded(1)
    run.kill()
    orphans = run.slurm.jobs()
    assert orphans, "the jobs of a killed Snakemake go on"
    output = run.succeed(TEN)
    assert "Slurm jobs of an earlier run" in output
    states = {job["JobId"]: job["JobState"] for job in run.slurm.finished()}
    assert "CANCELLED" in {states[job] for job in orphans}
    measured = run.measured()
    assert len(measured) == len(set(measured)) == 10, "something was measured twice"
    assert run.settled()


def the_controller_is_restarted(run: Run) -> None:
    run.seconds(1)
    first = run.start(TEN)
    run.until_recorded(1)
    run.slurm.stop_controller()
    time.sleep(5)
    run.slurm.start_controller()
    try:
        first.wait(60)
    except subprocess.TimeoutExpired:
        # A status query that failed while there was no controller: the plugin has lost sight of its jobs.
        os.kill(first.pid, signal.SIGINT)
        first.wait(120)
    if "measurements.csv" in os.listdir(run.checkout.folder / "results/cpu"):
        assert len(run.measured()) == len(set(run.measured())) == 10
    else:
        finish(run)


SCENARIOS: tuple[Callable[[Run], None], ...] = (
    the_documented_commands,
    gpus_are_asked_for_in_each_way,
    a_job_runs_out_of_time,  # the longest ones first
    the_controller_is_restarted,
    a_node_is_set_down,
    snakemake_is_killed,
    a_job_is_killed,
    snakemake_is_interrupted,
    one_job_on_a_gpu_and_one_gpu_in_a_job,
    results_are_those_of_a_local_run,
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    """The scenarios, all begun."""
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("runs")

    def play(scenario: Callable[[Run], None]) -> None:
        pretend = scenario is not results_are_those_of_a_local_run
        with running(folder / scenario.__name__, pretend) as run:
            scenario(run)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {scenario.__name__: pool.submit(play, scenario) for scenario in SCENARIOS}


@pytest.mark.parametrize("scenario", [scenario.__name__ for scenario in SCENARIOS])
def test_slurm(played: dict[str, Future[None]], scenario: str) -> None:
    played[scenario].result()

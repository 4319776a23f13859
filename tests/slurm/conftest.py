"""A checkout that runs through the Slurm of tests/slurm/cluster.py, with a measuring process that only pretends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, why_not
from tests.workflow.conftest import Checkout, copy_checkout

# Instead of workflow/worker.py: takes as long as seconds.txt says and adds a line to measured.log.
WORKER = """
import json, os, sys, time
from pathlib import Path
from workflow.files import write_json
from workflow.lease import lease
from workflow.outcome import empty_rows, result_document

job = json.load(sys.stdin)
point = job["point"]
with lease([f"test-{os.environ.get('CUDA_VISIBLE_DEVICES')}"]):
    start = time.time()
    time.sleep(float(Path("seconds.txt").read_text()))
    timed = {"time_ms": 1.0, "time_ms_low": 0.9, "time_ms_high": 1.1, "samples": 2, "stop_reason": "max_samples"}
    timed |= {"tflops": 0.5, "error_fro": 1e-7, "error_max": 1e-6}
    rows = [row | timed for row in empty_rows(point)]
    samples = {protocol["name"]: [0.9, 1.1] for protocol in point["protocols"]}
    environment = {"device": {"name": "Stand-in", "kind": "cpu"}}
    document = result_document(point, "ok", "", rows, samples, environment, {"log": job["log"]})
    name = f"{point['layer']['name']}/{point['algorithm']['name']}"
    with open("measured.log", "a") as log:  # before the result is there: one of these lines may be of a killed job
        log.write(f"{name} {job['attempt']} {os.environ.get('CUDA_VISIBLE_DEVICES')} {start} {time.time()}\\n")
    write_json(Path(job["output"]), document | {"attempt": job["attempt"]})
"""
CLUSTER = """
defaults:
  - /schema/cluster@_here_
  - _self_
name: test
partition: gpu
gpus:
  fake: {device: Fake GPU, architecture: sm_90a}
minutes_per_point: 1
memory_mb_per_point: 500
"""
OPTIONS = ("--workflow-profile", "slurm", "--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5")
CONFIG = ("--config", "experiment=tiny", "cluster=test", "gpu_model=fake")
POINTS = "results/cpu/points/tiny/tiny/strict_fp32/batch2"


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    if reason := why_not():
        pytest.skip(reason)
    # Not in pytest's folder, which other users cannot enter: munge wants its socket where they can.
    with tempfile.TemporaryDirectory(prefix="slurm-test-") as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@dataclass
class Run:
    """One checkout and the Snakemake runs in it."""

    checkout: Checkout
    slurm: Cluster
    #: Points in one Slurm job.
    group: int = 5
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Snakemake through the profile, up to the results table."""
        command = self.checkout.command("results/cpu/measurements.csv", *OPTIONS)
        command += ["--group-components", f"measure={self.group}", *CONFIG, *arguments]
        environment = self.slurm.environment | {"PYTHONPATH": self.checkout.environment()["PYTHONPATH"]}
        process = subprocess.Popen(
            command,
            cwd=self.checkout.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=(self.checkout.folder / f"snakemake{len(self.started)}.log").open("w"),
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def output(self) -> str:
        """What the last Snakemake said."""
        return (self.checkout.folder / f"snakemake{len(self.started) - 1}.log").read_text()

    def succeed(self, *arguments: str, seconds: float = 150) -> str:
        assert self.start(*arguments).wait(seconds) == 0, self.output()
        return self.output()

    def measured(self) -> list[str]:
        """`layer/algorithm` of every measurement that was finished."""
        file = self.checkout.folder / "measured.log"
        return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []

    def recorded(self) -> set[str]:
        """`layer/algorithm` of every point whose record is on disk."""
        folder = self.checkout.folder / POINTS
        return {str(path.parent.relative_to(folder)) for path in folder.glob("*/*/re*.json")}

    def seconds(self, each: float) -> None:
        """How long a measurement takes from now on."""
        (self.checkout.folder / "seconds.txt").write_text(str(each))

    def until_recorded(self, count: int) -> None:
        """Wait until as many points have a record, while the last Snakemake runs."""

        def enough() -> bool:
            assert self.started[-1].poll() is None, self.output()
            return len(self.recorded()) >= count

        self.slurm.wait(enough, f"{count} results", 90)

    def kill(self) -> None:
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def real_run(slurm: Cluster, tmp_path: Path) -> Iterator[Run]:
    """A run that measures for real."""
    checkout = copy_checkout(tmp_path / "checkout")
    (checkout.folder / "conf/cluster/test.yaml").write_text(CLUSTER)
    made = Run(checkout, slurm)
    yield made
    made.kill()
    slurm.ask("scancel", "--partition=gpu")
    slurm.wait(lambda: not slurm.jobs(), "end of all jobs")
    shutil.rmtree(tmp_path / "checkout/results", ignore_errors=True)


@pytest.fixture
def run(real_run: Run) -> Run:
    """A run with a measuring process that only pretends, half a second for each point."""
    (real_run.checkout.folder / "workflow/worker.py").write_text(WORKER)
    real_run.seconds(0.5)
    return real_run


def settled(slurm: Cluster) -> None:
    """Wait until no job is left; fails where one goes on for longer than a few points take."""
    deadline = time.monotonic() + 30
    while left := slurm.jobs():
        assert time.monotonic() < deadline, f"jobs {left} are still there"
        time.sleep(0.2)

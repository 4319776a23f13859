"""A checkout that runs through the Slurm of tests/slurm/cluster.py, with a measuring process that only pretends."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.slurm.cluster import Cluster
from tests.workflow.conftest import Checkout, copy_checkout

# Instead of workflow/worker.py: takes as long as seconds.txt says and adds a line to measured.log.
WORKER = """
import json, os, sys, time
from pathlib import Path
from workflow.files import write_json
from workflow.outcome import empty_rows, result_document

job = json.load(sys.stdin)
point = job["point"]
start = time.time()
time.sleep(float(Path("seconds.txt").read_text()))
timed = {"time_ms": 1.0, "time_ms_low": 0.9, "time_ms_high": 1.1, "samples": 2, "stop_reason": "max_samples"}
timed |= {"tflops": 0.5, "error_fro": 1e-7, "error_max": 1e-6}
rows = [row | timed for row in empty_rows(point)]
samples = {protocol["name"]: [0.9, 1.1] for protocol in point["protocols"]}
environment = {"device": {"name": "Stand-in", "kind": "cpu"}}
document = result_document(point, "ok", "", rows, samples, environment, {"log": job["log"]})
write_json(Path(job["output"]), document | {"attempt": job["attempt"]})
name = f"{point['layer']['name']}/{point['algorithm']['name']}"
with open("measured.log", "a") as log:
    log.write(f"{name} {job['attempt']} {os.environ.get('CUDA_VISIBLE_DEVICES')} {start} {time.time()}\\n")
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

    def succeed(self, *arguments: str, seconds: float = 240) -> str:
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

        self.slurm.wait(enough, f"{count} results", 180)

    def settled(self) -> bool:
        """Whether no job goes on for longer than a few points take."""
        self.slurm.wait(lambda: not self.slurm.jobs(), "end of all jobs")
        return True

    def kill(self) -> None:
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def end_leftovers(folder: Path) -> None:
    """Kill what this Slurm, which has no cgroups, may leave of a cancelled job: its own Snakemake, idle."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may end while it is looked at
            if str(folder).encode() in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


@contextmanager
def running(folder: Path, pretend: bool = True) -> Iterator[Run]:
    """A checkout in `folder` and a Slurm for it alone; `pretend` puts a stand-in for the measuring process."""
    checkout = copy_checkout(folder)
    (folder / "conf/cluster/test.yaml").write_text(CLUSTER)
    if pretend:
        (folder / "workflow/worker.py").write_text(WORKER)
    # Not in pytest's folder, which other users cannot enter: munge wants its socket where they can.
    with tempfile.TemporaryDirectory(prefix="slurm-test-") as private:
        cluster = Cluster(Path(private))
        run = Run(checkout, cluster)
        run.seconds(0.5)
        try:
            cluster.start()
            yield run
        finally:
            run.kill()
            cluster.stop()
            end_leftovers(folder)

"""A checkout that runs through the Slurm of tests/slurm/cluster.py, with a measuring process that only pretends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.slurm.cluster import Cluster
from tests.workflow.conftest import Checkout, copy_checkout
from tests.workflow.conftest import pretend as pretend_measuring

CLUSTER = """
defaults:
  - /schema/cluster@_here_
  - _self_
name: test
partition: gpu
gpus:
  fake: {{device: Fake GPU, architecture: 9.0}}
  any: {{device: Fake GPU, architecture: 9.0, type: ""}}
  a100: {{device: NVIDIA A100-SXM4-80GB, type: {a100}, partition: gpu-a100, options: --nice=7}}
gpu_option: {option}
seconds_per_point: 1
seconds_per_job: {size}
minutes_per_point: 1
cores_per_job: 2
memory_mb_per_core: 500
"""
OPTIONS = ("--workflow-profile", "slurm", "--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5")
CONFIG = ("--config", "experiment=tiny", "cluster=test")
POINTS = "results/cpu/points/tiny/tiny/strict_fp32/batch2"


@dataclass
class Run:
    """One checkout and the Snakemake runs in it."""

    checkout: Checkout
    slurm: Cluster
    #: Points in one Slurm job.
    size: int = 5
    #: The option of sbatch that asks for GPUs.
    option: str = "gpus"
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str, model: str = "fake") -> subprocess.Popen[str]:
        """Snakemake through the profile, up to the results table. As a user starts it, so without --cores."""
        command = [sys.executable, "-m", "snakemake", "results/cpu/measurements.csv", *OPTIONS]
        command += [*CONFIG, f"gpu_model={model}", *arguments]
        a100 = "nvidia_a100-sxm4-80gb" if self.option == "gpus" else '""'  # no hyphens go with --gres
        text = CLUSTER.format(size=self.size, option=self.option, a100=a100)
        (self.checkout.folder / "conf/cluster/test.yaml").write_text(text)
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

    def succeed(self, *arguments: str, model: str = "fake", seconds: float = 240) -> str:
        assert self.start(*arguments, model=model).wait(seconds) == 0, self.output()
        return self.output()

    def measured(self) -> list[str]:
        """`layer/algorithm` of every measurement that was finished."""
        file = self.checkout.folder / "measured.log"
        return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []

    def recorded(self) -> set[str]:
        """`layer/algorithm` of every point whose record is on disk."""
        folder = self.checkout.folder / POINTS
        return {str(path.parent.relative_to(folder)) for path in folder.glob("*/*/result.json")}

    def seconds(self, each: float) -> None:
        """How long a measurement takes from now on."""
        self.checkout.outcomes(seconds=each)

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
    if pretend:
        pretend_measuring(checkout)
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

"""A Slurm of its own on this host: Debian's munged, slurmctld and slurmd, and GPUs that are only device files."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import socket
import stat
import subprocess
import time
from pathlib import Path

#: Slurm's type of GPU -> the indices of the node's GPUs of this type. The last two are those of docs/cluster.md.
TYPES = {"fake": (0, 1), "h100": (2,), "nvidia_a100-sxm4-80gb": (3,)}
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
_CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=10
CredType=cred/munge
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobcomp.txt
MpiDefault=none
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
MinJobAge=3600
ReturnToService=2
KillWait=2
NodeName=node1 NodeHostname=localhost NodeAddr=localhost CPUs=16 RealMemory=64000 Feature=nvlink Gres={gres}
PartitionName=gpu Nodes=node1 Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu-h100 Nodes=node1 MaxTime=INFINITE State=UP
PartitionName=gpu-a100 Nodes=node1 MaxTime=INFINITE State=UP
"""
# Job steps of Snakemake lose the variable that says where the configuration is.
_SRUN = """#!/bin/sh
SLURM_CONF={folder}/slurm.conf exec {srun} "$@"
"""


def why_not() -> str:
    """Why no Slurm can be started here; an empty string where it can."""
    if missing := [name for name in _PROGRAMS if not shutil.which(name)]:
        return f"Slurm is not installed: no {', '.join(missing)}"
    if os.geteuid() != 0:
        return "only root can start a Slurm for the tests"
    if not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        return "snakemake-executor-plugin-slurm is not installed: make slurm"
    return ""


class Cluster:
    """The daemons and how to talk to them; `folder` must be absolute."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._munged: subprocess.Popen[bytes] | None = None
        self._slurmd: subprocess.Popen[bytes] | None = None
        self._controller: subprocess.Popen[bytes] | None = None
        self.environment = os.environ | {
            "SLURM_CONF": f"{folder}/slurm.conf",
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
        }

    def start(self) -> None:
        for name in ("state", "spool", "dev", "bin"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        indices = [index for found in TYPES.values() for index in found]
        for index in indices:  # copies of /dev/null: Slurm takes nothing but numbered character devices
            os.mknod(self.folder / f"dev/nvidia{index}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        ports = [_free_port(), _free_port()]
        gres = ",".join(f"gpu:{name}:{len(found)}" for name, found in TYPES.items())
        text = _CONFIGURATION.format(folder=self.folder, controller_port=ports[0], node_port=ports[1], gres=gres)
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "gres.conf").write_text(
            "".join(
                f"Name=gpu Type={name} File={self.folder}/dev/nvidia[{','.join(map(str, found))}]\n"
                for name, found in TYPES.items()
            )
        )
        shim = self.folder / "bin/srun"
        shim.write_text(_SRUN.format(folder=self.folder, srun=shutil.which("srun")))
        shim.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        options = {"key-file": "munge.key", "socket": "munge.sock", "pid-file": "munge.pid"}
        options |= {"log-file": "munge.log", "seed-file": "munge.seed"}
        self._munged = self._run("munged", *(f"--{name}={self.folder}/{file}" for name, file in options.items()))
        self.start_controller()
        self._slurmd = self._run("slurmd", "-D", "-N", "node1")
        self.wait(lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%T"), "an idle node")

    def start_controller(self) -> None:
        self._controller = self._run("slurmctld", "-D")
        self.wait(lambda: "UP" in self.ask("scontrol", "ping"), "slurmctld")

    def stop_controller(self) -> None:
        _end(self._controller)

    def stop(self) -> None:
        if self._controller and self._controller.poll() is None:
            self.ask("scancel", "--user=root")
            with contextlib.suppress(AssertionError):
                self.wait(lambda: not self.jobs(), "end of all jobs", 20)
        for process in (self._slurmd, self._controller, self._munged):
            _end(process)

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        options = ["--foreground"] if program == "munged" else []
        with (self.folder / f"{program}.out").open("ab") as log:
            return subprocess.Popen(
                [str(shutil.which(program)), *options, *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def ask(self, *command: str) -> str:
        """The output of a Slurm command, errors included."""
        answer = subprocess.run(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        return answer.stdout

    def jobs(self, *states: str) -> list[str]:
        """The ids of the jobs in these states; of those that are pending or running if none is named."""
        chosen = ",".join(states or ("PENDING", "RUNNING", "COMPLETING"))
        return self.ask("squeue", "--noheader", "--format=%i", f"--states={chosen}").split()

    def finished(self) -> list[dict[str, str]]:
        """The jobs that have ended, as Slurm recorded them."""
        file = self.folder / "jobcomp.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        return [dict(field.split("=", 1) for field in line.split() if "=" in field) for line in lines]

    def wait(self, done: object, what: str, seconds: float = 60) -> None:
        assert callable(done)
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                logs = "\n".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("slurm*.log")))
                raise AssertionError(f"no {what} within {seconds} s\n{logs}")
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

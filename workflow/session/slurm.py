"""What a run does about Slurm before its first job: is there one, and has an earlier run left jobs there?

Slurm jobs that outlive the Snakemake that submitted them are cancelled before another run submits its own.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path

from snakemake.cli import parse_args

#: Snakemake's plugin gives all jobs of a run one name, an identifier of the run, and writes it to the log.
_RUN = re.compile(r"SLURM run ID: (\S+)")
_WAIT_SECONDS = 120
#: What a run needs of Slurm where it submits jobs.
_COMMANDS = ("sbatch", "squeue", "scancel", "sinfo")


def named_executor() -> str:
    """What runs jobs by the command line and its profiles; in a dry run too, of which Snakemake tells nothing else."""
    with redirect_stderr(io.StringIO()):  # it would name the profiles a second time
        _, options = parse_args(None)
    return options.executor or "local"


def require(executor: str, cluster: str, clusters: Sequence[str]) -> None:
    """End with status 1 and a message where measurements cannot go where they were planned for.

    `executor` is Snakemake's name of what runs jobs, `cluster` the one that they were planned for, or nothing, and
    `clusters` are those that there are.
    """
    if cluster and executor == "local":
        sys.exit(
            f"error: jobs planned for cluster {cluster} would run on this machine; add --workflow-profile slurm, "
            "or leave out cluster="
        )
    if not cluster and executor != "local":
        sys.exit(
            f"error: no cluster is named; add --config cluster=NAME, with NAME one of {', '.join(clusters)} (a file of "
            "conf/cluster), or leave out --workflow-profile to measure on this machine"
        )
    if executor == "slurm" and (missing := [name for name in _COMMANDS if not shutil.which(name)]):
        sys.exit(
            f"error: there is no Slurm on this machine (no {', '.join(missing)} on PATH); give this command on a login "
            "node of the cluster, or leave out --workflow-profile and cluster= to measure on this machine"
        )


def take_over(results: str, logs: Sequence[str]) -> None:
    """Cancel what earlier runs in this folder left in Slurm's queue and remember the run that writes `logs`.

    Called with the folder locked: no other run is at work there, so whatever is queued for it is an orphan. Exits with
    status 1 and a message if the orphans do not go.
    """
    text = "\n".join(Path(log).read_text(errors="replace") for log in logs if Path(log).exists())
    runs = Path(results, ".slurm_runs")
    earlier = runs.read_text().split() if runs.exists() else []
    if earlier and shutil.which("squeue"):
        _cancel(earlier)
        earlier = []
    names = earlier + _RUN.findall(text)
    if names or runs.exists():
        runs.write_text("".join(f"{name}\n" for name in names))


def _cancel(runs: list[str]) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    told: set[str] = set()
    while jobs := _queued(runs):
        if new := set(jobs) - told:
            print(f"Cancelling {len(new)} Slurm jobs of an earlier run in this folder", file=sys.stderr)
            subprocess.run(["scancel", *sorted(new)], check=False)
            told |= new
        if time.monotonic() > deadline:
            sys.exit(f"error: Slurm does not end the jobs of an earlier run: {', '.join(jobs)}; see scancel and squeue")
        time.sleep(1)


def _queued(runs: list[str]) -> list[str]:
    command = ["squeue", "--noheader", "--format=%i", f"--name={','.join(runs)}"]
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return answer.stdout.split()
        if time.monotonic() > deadline:
            sys.exit(f"error: Slurm does not say whether jobs of an earlier run are left: {answer.stderr.strip()}")
        time.sleep(5)

"""A checkout of its own for the tests that run Snakemake, with programs that stand in for measuring and compiling."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.shared import known_conf
from tests.workflow import forked
from workflow.experiment.catalog import Catalog

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "conf", "kernels", "workflow", "analysis", "profiles", "environment.yml")
H100 = "NVIDIA H100 80GB HBM3"

# Instead of workflow/harness/worker.py: takes as long as outcomes.json says (`seconds`; with `ready_seconds` it waits
# for so long first, and then for a GPU), writes the outcome that it has for the algorithm (ok if none), with so many
# `samples`, and adds a line to measured.log: layer/algorithm, attempt, GPU, start, end.
WORKER = """
import json, os, sys, time
from contextlib import nullcontext
from pathlib import Path
from analysis.table.files import write_json
from analysis.table.statistics import estimate
from kernels.problem import ConvProblem
from workflow.machine.lease import lease
from workflow.harness.outcome import empty_rows, result_document

job = json.load(sys.stdin)
point = job["point"]
name = f"{point['layer']['name']}/{point['algorithm']['name']}"
for program in point["algorithm"]["programs"]:
    assert Path(job["kernels"], f"{program}.cubin").exists(), f"{program} is not compiled"
settings = json.loads(Path("outcomes.json").read_text()) if Path("outcomes.json").exists() else {}
visible = os.environ.get("CUDA_VISIBLE_DEVICES")
time.sleep(settings.get("ready_seconds", 0))
with lease(visible.split(",")) if "ready_seconds" in settings else nullcontext():
    start = time.time()
    time.sleep(settings.get("seconds", 0))
    end = time.time()
status = settings.get(point["algorithm"]["name"], "ok")
run = {"log": job["log"]}
if status == "over the ceiling":
    status, run["over_ceiling"] = "failed", {}
rows = empty_rows(point)
count = settings.get("samples", 2)
taken = [0.9 + 0.2 * i / count for i in range(count)]
for row, protocol in zip(rows if status == "ok" else [], point["protocols"]):
    statistic = protocol["statistic"]
    statistic = point["algorithm"]["about"]["authors_statistic"] if statistic == "authors" else statistic
    time_ms = estimate(taken, statistic)
    row |= {"time_ms": time_ms.value, "time_ms_low": time_ms.low, "time_ms_high": time_ms.high, "samples": count}
    row |= {"tflops": ConvProblem.from_layer(point["layer"], point["batch"]).flops / (time_ms.value * 1e9)}
    row |= {"stop_reason": "max_samples", "error_fro": 1e-7, "error_max": 1e-6}
samples = {protocol["name"]: taken for protocol in point["protocols"]}
environment = {"device": {"name": "Stand-in", "kind": point["device"]["kind"]}}
reason = "" if status == "ok" else "as the test asks"
document = result_document(point, status, reason, rows, samples, environment, run)
write_json(Path(job["output"]), document | {"attempt": job["attempt"]})
with open("measured.log", "a") as log:
    log.write(f"{name} {job['attempt']} {visible} {start} {end}\\n")
"""
# Instead of workflow/ceilings.py; a line in ceilings.log.
CEILINGS = """
import argparse
from pathlib import Path
from analysis.table.files import write_json

parser = argparse.ArgumentParser()
for name in ("--kind", "--output", "--kernels", "--device"):
    parser.add_argument(name)
options = parser.parse_args()
write_json(Path(options.output), {"copy_bytes_per_s": 1e12, "fp32_flops": 1e13})
with open("ceilings.log", "a") as log:
    log.write(f"{options.kind} {options.device}\\n")
"""
COMPILE = """
import argparse
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("--program", "--architecture", "--cubin", "--report"):
    parser.add_argument(name)
options = parser.parse_args()
for path in (options.cubin, options.report):
    Path(path).write_text(f"{options.program} {options.architecture}")
with open("compiled.log", "a") as log:
    log.write(f"{options.program} {options.architecture}\\n")
"""
GPU_MACHINE = f'''
import workflow.machine.devices
workflow.machine.devices.pytorch_without_cuda = lambda: ""
workflow.machine.devices.find_gpus = lambda: [workflow.machine.devices.Gpu(0, "GPU-a", "{H100}", "sm_90a")]
'''


@dataclass(frozen=True)
class Checkout:
    """A copy of the repository in which Snakemake runs."""

    folder: Path
    #: Whether what runs is forked: faster than a process that begins as the user's do.
    forked: bool = False

    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": f"{self.folder}/stand_in{os.pathsep}{self.folder}"}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.command(*arguments))

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in the checkout; what it prints, errors too, is its stdout."""
        if self.forked and command[:2] == [sys.executable, "-m"]:
            return subprocess.CompletedProcess(command, *forked.run(command[2:], self.folder, self.environment()))
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def ran(self, *arguments: str) -> str:
        """Run Snakemake, which must succeed; its output."""
        result = self.snakemake(*arguments)
        assert result.returncode == 0, result.stdout
        return result.stdout

    def replace(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{path} has no {old!r}"
        file.write_text(text.replace(old, new, 1))

    def outcomes(self, **outcomes: object) -> None:
        (self.folder / "outcomes.json").write_text(json.dumps(outcomes))

    def taken(self, log: str = "measured.log") -> list[str]:
        """The first two words of the lines of a log, sorted; it is emptied."""
        file = self.folder / log
        lines = sorted(" ".join(line.split()[:2]) for line in file.read_text().splitlines()) if file.exists() else []
        file.unlink(missing_ok=True)
        return lines


def copy_checkout(folder: Path) -> Checkout:
    """The repository without its archives and results.

    Byte code comes along: it fits files of the same size and date, and hundreds of processes need not compile it again.
    """
    folder.mkdir(parents=True)
    ignored = shutil.ignore_patterns("archive")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=ignored)
        else:
            shutil.copy(source, folder / part)
    return Checkout(folder)


def pretend(checkout: Checkout) -> None:
    """Put programs that only pretend in the place of those that measure, and have empty pictures drawn."""
    pretend_pictures(checkout, "pdf", "svg", "png")
    checkout.replace("analysis/charts/style.py", "        figure.draw_without_rendering()\n", "")
    (checkout.folder / "workflow/harness/worker.py").write_text(WORKER)
    (checkout.folder / "workflow" / "ceilings.py").write_text(CEILINGS)


def pretend_pictures(checkout: Checkout, *formats: str) -> None:
    """Leave the pictures of these formats empty: fonts in a PDF take as long as all else that is drawn."""
    drawn = "            figure.savefig(content, format=suffix, metadata=METADATA[suffix])\n"
    empty = """content.write(b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>')"""
    checkout.replace(
        "analysis/charts/style.py",
        drawn,
        f"            if suffix in {formats}:\n                {empty}\n            else:\n    {drawn}",
    )


@pytest.fixture
def real_checkout(tmp_path: Path) -> Checkout:
    return copy_checkout(tmp_path / "checkout")


@pytest.fixture
def checkout(real_checkout: Checkout) -> Checkout:
    """Without a GPU, and with a measuring process that only pretends."""
    return pretended(real_checkout)


def pretended(checkout: Checkout) -> Checkout:
    """The checkout with programs that only pretend to measure and compile, on a machine without a GPU; forked."""
    pretend(checkout)
    (checkout.folder / "workflow" / "compile.py").write_text(COMPILE)
    stand_in = checkout.folder / "stand_in"
    stand_in.mkdir()
    (stand_in / "sitecustomize.py").write_text(
        "import workflow.machine.devices\nworkflow.machine.devices.find_gpus = lambda: []\n"
    )
    return replace(checkout, forked=True)


@pytest.fixture
def gpu_checkout(checkout: Checkout) -> Checkout:
    """The same on a machine that seems to have an H100."""
    (checkout.folder / "stand_in" / "sitecustomize.py").write_text(GPU_MACHINE)
    return checkout


@pytest.fixture(scope="session")
def conf() -> Catalog:
    return known_conf()

"""A checkout of its own for the tests that run Snakemake, with programs that stand in for measuring and compiling."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from workflow import catalog
from workflow.catalog import Catalog

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "conf", "kernels", "workflow", "analysis", "profiles", "environment.yml")
H100 = "NVIDIA H100 80GB HBM3"

# Writes the outcome that outcomes.json has for the algorithm (ok if none), and a line to measured.log.
MEASURE = """
import argparse, json, time
from pathlib import Path
from workflow.files import write_json
from workflow.outcome import empty_rows, result_document

parser = argparse.ArgumentParser()
for name in ("--point", "--output", "--log", "--kernels", "--attempt", "--device"):
    parser.add_argument(name)
options = parser.parse_args()
point = json.loads(options.point)
name = f"{point['layer']['name']}/{point['algorithm']['name']}"
for program in point["algorithm"]["programs"]:
    assert Path(options.kernels, f"{program}.cubin").exists(), f"{program} is not compiled"
settings = json.loads(Path("outcomes.json").read_text()) if Path("outcomes.json").exists() else {}
time.sleep(settings.get("seconds", 0))
status = settings.get(point["algorithm"]["name"], "ok")
rows = empty_rows(point)
timed = {"time_ms": 1.0, "time_ms_low": 0.9, "time_ms_high": 1.1, "samples": 2, "stop_reason": "max_samples"}
timed |= {"tflops": 0.5, "error_fro": 1e-7, "error_max": 1e-6}
if status == "ok":
    rows = [row | timed for row in rows]
samples = {protocol["name"]: [0.9, 1.1] for protocol in point["protocols"]}
environment = {"device": {"name": "Stand-in", "kind": point["device"]["kind"]}}
reason = "" if status == "ok" else "as the test asks"
document = result_document(point, status, reason, rows, samples, environment, {"log": options.log})
write_json(Path(options.output), document | {"attempt": int(options.attempt)})
with open("measured.log", "a") as log:
    log.write(f"{name} {options.attempt}\\n")
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
import workflow.devices
workflow.devices.find_gpus = lambda: [workflow.devices.Gpu(0, "GPU-a", "{H100}", "sm_90a")]
'''


@dataclass(frozen=True)
class Checkout:
    """A copy of the repository in which Snakemake runs."""

    folder: Path

    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": f"{self.folder}/stand_in{os.pathsep}{self.folder}"}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
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
        """The sorted lines of a log, which is emptied."""
        file = self.folder / log
        lines = sorted(file.read_text().splitlines()) if file.exists() else []
        file.unlink(missing_ok=True)
        return lines


def copy_checkout(folder: Path) -> Checkout:
    """The repository without its archives and results."""
    folder.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "archive")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=ignored)
        else:
            shutil.copy(source, folder / part)
    return Checkout(folder)


@pytest.fixture
def real_checkout(tmp_path: Path) -> Checkout:
    return copy_checkout(tmp_path / "checkout")


@pytest.fixture
def checkout(real_checkout: Checkout) -> Checkout:
    """Without a GPU, and with a measuring program that only pretends."""
    (real_checkout.folder / "workflow" / "measure.py").write_text(MEASURE)
    (real_checkout.folder / "workflow" / "compile.py").write_text(COMPILE)
    stand_in = real_checkout.folder / "stand_in"
    stand_in.mkdir()
    (stand_in / "sitecustomize.py").write_text("import workflow.devices\nworkflow.devices.find_gpus = lambda: []\n")
    return real_checkout


@pytest.fixture
def gpu_checkout(checkout: Checkout) -> Checkout:
    """The same on a machine that seems to have an H100."""
    (checkout.folder / "stand_in" / "sitecustomize.py").write_text(GPU_MACHINE)
    return checkout


@pytest.fixture(scope="session")
def conf() -> Catalog:
    return catalog.read()

"""The CUDA programs are clean under compute-sanitizer's four tools, on small problems."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kernels.architectures import architecture_name
from kernels.compile import compile_program
from kernels.programs import PROGRAMS

SANITIZER = shutil.which("compute-sanitizer")


@pytest.fixture(scope="module")
def cubins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cubins")
    architecture = architecture_name(*torch.cuda.get_device_capability())
    for program in PROGRAMS:
        cubin, report = compile_program(program, architecture)
        (folder / f"{program}.cubin").write_bytes(cubin)
        (folder / f"{program}.json").write_text(json.dumps(report))
    return folder


@pytest.mark.skipif(SANITIZER is None, reason="compute-sanitizer is not on PATH")
@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "initcheck", "synccheck"])
def test_clean(tool: str, cubins: Path) -> None:
    # cuda.core tries driver calls that may fail as it starts, so only what kernels do counts here.
    options = ["--error-exitcode", "9", *(["--report-api-errors", "no"] if tool == "memcheck" else [])]
    command = [str(SANITIZER), "--tool", tool, *options, sys.executable, "-m", "tests.gpu.sanitized", str(cubins)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "all programs ran" in result.stdout
    assert "ERROR SUMMARY: 0 errors" in result.stdout or "0 hazards" in result.stdout, result.stdout[-2000:]

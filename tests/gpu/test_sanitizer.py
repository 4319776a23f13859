"""The CUDA programs are clean under compute-sanitizer's four tools, on small problems."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SANITIZER = shutil.which("compute-sanitizer")


@pytest.mark.skipif(SANITIZER is None, reason="compute-sanitizer is not on PATH")
@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "initcheck", "synccheck"])
def test_clean(tool: str, cubins: Path) -> None:
    # cuda.core tries driver calls that may fail as it starts, so only what kernels do counts here.
    # A lane that arrives at a barrier for its whole warp orders the warp's accesses too.
    special = {"memcheck": ["--report-api-errors", "no"], "racecheck": ["--racecheck-indirect-barrier-dependency"]}
    options = ["--error-exitcode", "9", *special.get(tool, [])]
    command = [str(SANITIZER), "--tool", tool, *options, sys.executable, "-m", "tests.gpu.sanitized", str(cubins)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "all programs ran" in result.stdout
    assert "ERROR SUMMARY: 0 errors" in result.stdout or "0 hazards" in result.stdout, result.stdout[-2000:]

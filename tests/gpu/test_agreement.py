"""Our harness and NVBench, NVIDIA's own, give the same times."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest


def is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False


@pytest.mark.skipif(not is_there("cuda.bench"), reason="cuda-bench is not installed: pip install '.[agreement]'")
def test_medians_agree(tmp_path: Path) -> None:
    output = tmp_path / "times.json"
    command = [sys.executable, "-m", "tests.gpu.agreement", str(output)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    times = json.loads(output.read_text())
    assert len(times) == 16
    apart = {}
    for name, each in times.items():
        ours, nvbench = sum(each["ours"]) / 2, each["nvbench"]
        allowed = 0.05 if nvbench < 0.05 else 0.02
        print(f"{name}: ours {each['ours'][0]:.5f} and {each['ours'][1]:.5f} ms, NVBench {nvbench:.5f} ms")
        if abs(ours / nvbench - 1) > allowed:
            apart[name] = f"{ours:.5f} ms against {nvbench:.5f} ms"
    assert not apart

"""What a measuring process does before its turn leaves open which GPU it will be on: of use where there are two."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.shared import known_conf
from workflow.experiment.points import Point
from workflow.experiment.sweep import Selection, Sweep

CODE = """
import json, sys
from workflow.harness import worker
from workflow.machine.devices import find_gpus, require_in_use, use
worker._get_ready(json.loads(sys.argv[1]))
last = find_gpus()[-1].uuid
use(last)
require_in_use(last)
"""


@pytest.mark.parametrize("name", ["im2win", "cudnn_gemm", "cudnn_autotuned", "im2col_cublas"])
def test_the_gpu_is_chosen_late(name: str) -> None:
    sweep = Sweep(known_conf(), Selection("paper", {}))
    point = sweep.resolve(Point("paper_table", "strict_fp32", 64, "conv1", name))
    result = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(point)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr

"""PyTorch forgets its choice of cuDNN engine when it is told to, and is asked again."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: how many choices PyTorch keeps is read once.
CODE = """
import time
import torch
from kernels.families.cudnn_autotuned import AutotunedPlan, forget
from kernels.problem import ConvProblem

problem = ConvProblem(64, 96, 24, 24, 256, 5, 5, 1)
device = torch.device("cuda", 0)
x, f = torch.rand(problem.input_shape, device=device), torch.rand(problem.filter_shape, device=device)
y = torch.empty(problem.output_shape, device=device)
plan = AutotunedPlan(problem, tf32=False)

def seconds():
    torch.cuda.synchronize()
    start = time.perf_counter()
    plan.run(x, f, y)
    torch.cuda.synchronize()
    return time.perf_counter() - start

first, again = seconds(), min(seconds() for _ in range(3))
forget(device)
after_forgetting = seconds()
assert first > 5 * again and after_forgetting > 5 * again, (first, again, after_forgetting)
"""


def test_a_choice_is_forgotten() -> None:
    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr

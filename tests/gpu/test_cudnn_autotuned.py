"""PyTorch forgets its choice of cuDNN engine, and asks cuDNN's older interface or for NHWC when it is told to."""

from __future__ import annotations

import subprocess
import sys

# Each in a process of its own: what PyTorch reads from its environment it reads once.
SETUP = """
import time
import torch
from kernels.families.cudnn_autotuned import AutotunedPlan, LegacyAutotunedPlan, forget
from kernels.problem import ConvProblem

device = torch.device("cuda", 0)

def tensors(problem):
    x, f = torch.rand(problem.input_shape, device=device), torch.rand(problem.filter_shape, device=device) - 0.5
    return x, f, torch.empty(problem.output_shape, device=device)
"""
FORGETS = """
problem = ConvProblem(64, 96, 24, 24, 256, 5, 5, 1)
x, f, y = tensors(problem)
plan = AutotunedPlan(problem, device, tf32=False)

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
# Asymmetric padding first, and then what the older interface itself takes; all later plans ask it too.
OLDER = """
from tests.problems import MIXED
from tests.relative import backward_error

def milliseconds(work):
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start)

for index, problem in enumerate(sorted(MIXED, key=lambda problem: problem.is_padded_evenly)):
    x, f, y = tensors(problem)
    plan = LegacyAutotunedPlan(problem, device, tf32=False)
    if index == 0:
        plan.run(x, f, y)  # raises unless PyTorch says that it asks the older interface
    plan._is_asked = True
    plan.autotune(x, f, y, milliseconds)
    y.fill_(torch.nan)
    plan.run(x, f, y)
    assert backward_error(x, f, y, problem) < 1e-4, problem
"""
TOO_LATE = """
torch.nn.functional.conv2d(*tensors(ConvProblem(1, 1, 8, 8, 1, 3, 3))[:2])
problem = ConvProblem(2, 3, 9, 8, 5, 3, 3)
try:
    LegacyAutotunedPlan(problem, device, tf32=False).run(*tensors(problem))
except RuntimeError as error:
    assert "older interface" in str(error)
else:
    raise AssertionError("it does not notice that another interface runs")
"""
# In TF32 after strict FP32 of the same problem: a cached choice must not outlive the class of arithmetic. In TF32 cuDNN
# has engines for NHWC, and no kernel converts the layout but PyTorch's copy of Y.
CHANNELS_LAST = """
from torch.profiler import ProfilerActivity, profile
from kernels.baselines.cudnn_channels_last import ChannelsLastPlan
from workflow.harness import verify

def milliseconds(work):
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start)

problem = ConvProblem(16, 64, 56, 56, 128, 3, 3)
x, f, y = tensors(problem)
for tf32, least, most in ((False, 0.0, 1e-5), (True, 1e-5, 2e-3), (False, 0.0, 1e-5)):
    plan = ChannelsLastPlan(problem, device, tf32)
    plan.run(x, f, y)
    plan.autotune(x, f, y, milliseconds)
    verify.poison(y)
    plan.run(x, f, y)
    error = verify.error(problem, x, f, y)
    assert least <= error.fro <= most, (tf32, error)
    if tf32:
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            plan.compute(x, f, y)
            torch.cuda.synchronize()
        kernels = [event.key for event in seen.key_averages()]
        assert not [name for name in kernels if "nchwtonhwc" in name.lower() or "nhwctonchw" in name.lower()], kernels
"""


def run(code: str) -> None:
    result = subprocess.run([sys.executable, "-c", SETUP + code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_choice_is_forgotten() -> None:
    run(FORGETS)


def test_the_older_interface_is_asked() -> None:
    run(OLDER)


def test_a_convolution_that_asked_another_interface_is_noticed() -> None:
    run(TOO_LATE)


def test_channels_last_in_both_classes() -> None:
    run(CHANNELS_LAST)

"""Algorithms that misbehave, each in the way its parameter names, for the tests of what the harness makes of them.

The measuring process imports this file as a module of its own, from a folder on its path.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from kernels.algorithm import Algorithm, register
from kernels.plan import Plan, UnsupportedError
from kernels.problem import ConvProblem


class RoguePlan(Plan):
    """Runs the method that is called what its parameter says; most write the convolution and spoil something."""

    def __init__(self, problem: ConvProblem, device: torch.device, how: str) -> None:
        self.stride, self.device, self.runs = problem.stride, device, 0
        self.kept: Any = None
        self.quick = 0.0
        self.workspace = torch.empty((64,), device=device)
        self.behave: Callable[..., None] = getattr(self, how)

    def autotune(
        self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, time: Callable[[Callable[[], None]], float]
    ) -> None:
        if self.behave == self.honest_once_autotuned:
            self.quick = time(lambda: self.run(x, f, y))

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self.runs += 1
        self.behave(x, f, y)

    def right(self, x: torch.Tensor, f: torch.Tensor) -> torch.Tensor:
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN would take TF32
            return functional.conv2d(x, f, stride=self.stride)

    def honest(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        y.copy_(self.right(x, f))

    def honest_once_autotuned(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        y.zero_() if self.quick == 0.0 else self.honest(x, f, y)

    # Cheats.

    def unwritten(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        pass

    def previous_answer(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self.kept = self.right(x, f) if self.kept is None else self.kept
        y.copy_(self.kept)

    def previous_answer_while_timed(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        """Computes until it has the same tensors often enough to believe that it is timed."""
        if self.runs < 5:
            self.honest(x, f, y)

    def keeps_answer_of_same_inputs(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        """Looks at a few inputs, and if they are as before gives the answer that it has."""
        sign = x.flatten()[:2].clone()  # so few that the one that is changed before each run is hardly among them
        answer = self.right(x, f)
        if self.kept is not None:  # chosen on the device, for which the host must not wait
            answer = torch.where((sign == self.kept[0]).all(), self.kept[1], answer)
        self.kept = (sign, answer)
        y.copy_(answer)

    def only_if_poisoned(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        """Works only where its work would be missed; elsewhere it does nothing."""
        if bool(y.isnan().any()):
            time.sleep(0.005)
            self.honest(x, f, y)

    def half_precision(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        y.copy_(self.right(x.half(), f.half()).float())

    def another_stream(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        """On the CPU another thread, which is done a little later."""
        if self.device.type == "cuda":
            with torch.cuda.stream(torch.cuda.Stream()):
                self.honest(x, f, y)
            return

        def later() -> None:
            time.sleep(0.02)
            self.honest(x, f, y)

        threading.Thread(target=later, daemon=True).start()

    def forked_stream(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        """Waits for the timed stream to get there, but the timed stream does not wait for the end."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(20):
                self.honest(x, f, y)

    def skips_edge(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        y[..., :-1] = self.right(x, f)[..., :-1]

    def out_of_bounds(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self.honest(x, f, y)
        y.as_strided((1,), (1,), y.storage_offset() + y.numel()).fill_(1.0)

    def out_of_workspace(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self.honest(x, f, y)
        self.workspace.as_strided((1,), (1,), self.workspace.storage_offset() - 1).fill_(0.0)

    def changes_input(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self.honest(x, f, y)
        x.flatten()[-1] += 1

    def filter_once(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self.kept = f.clone() if self.kept is None else self.kept
        y.copy_(self.right(x, self.kept))

    def only_benchmark_inputs(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        """Takes for granted that inputs are in [0, 1), as those that are timed."""
        y.copy_(self.right(x.clamp(0, 1), f))

    def worse_on_benchmark_inputs(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        """Is careful with all but the inputs that are timed."""
        timed = x.min() >= 0.0
        y.copy_(torch.where(timed, self.right(x.half(), f.half()).float(), self.right(x, f)))

    # Other misfortunes.

    def wrong_later(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        y.copy_(self.right(x, f) + (1 if self.runs > 4 else 0))

    def raises(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        raise RuntimeError("device-side assert")

    def launch_fails(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        """As where the GPU falls off the bus."""
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    def dies(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def killed_while_timed(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self.honest(x, f, y)
        if self.runs > 4:
            os.kill(os.getpid(), signal.SIGKILL)

    def hangs(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        time.sleep(60)

    def unsupported(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        raise UnsupportedError("stride is too long")

    def out_of_memory(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.50 GiB. GPU 0 has 1 GiB.")

    def gives_nan(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self.honest(x, f, y)
        y.flatten()[0] = float("nan")


@register("rogue")
class Rogue(Algorithm):
    """Registered once; its parameter says how it behaves."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: Any, tf32: bool) -> Plan:
        return RoguePlan(problem, device, self.parameters["how"])

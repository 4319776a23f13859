"""The checks that a plan must pass before, while and after it is timed, each with a name.

Each catches one way in which a kernel can be fast and wrong; tests/workflow/harness/test_cheats.py has such a kernel.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

import torch

from analysis.table import statistics
from kernels.plan import Plan
from kernels.problem import ConvProblem
from workflow.harness import distributions, verify
from workflow.harness.gate import Gate, WaitedError
from workflow.harness.guards import Guards
from workflow.harness.timing import Clock

#: Images that are compared if not all are; which ones is drawn at random each time.
_SOME_IMAGES = 8
#: How long to wait for work that does not respect the order of its stream to write something.
_SHOW_SECONDS = 0.005
#: A run that is verified may take this many times as long as the slowest run that was timed. Other load on the host may
#: delay it, so it is tried several times, so many seconds apart, each time beside a run that is not verified.
_SLOWER, _TRIES, _APART_SECONDS = 3.0, 20, 0.01
#: So many of these must have been taken before their median counts: one that was delayed must excuse nothing.
_LEAST_USUAL = 5


class IncorrectError(Exception):
    """An output that is not the convolution, or that was computed in a way that cannot be timed validly."""

    def __init__(self, check: str, wrong: str) -> None:
        """`check` is the name of the check that failed."""
        super().__init__(f"{check}: {wrong}")


class Checks:
    """The checks of one plan on its tensors."""

    def __init__(
        self,
        plan: Plan,
        problem: ConvProblem,
        bounds: tuple[float, float],
        guards: Guards,
        generator: torch.Generator,
        tensors: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    ) -> None:
        """`bounds` are the largest error_fro and error_max that pass; `tensors` are X, F and Y."""
        self.plan = plan
        self.problem = problem
        self.bounds = bounds
        self.guards = guards
        self.generator = generator
        self.x, self.f, self.y = tensors
        self._chance = random.Random(generator.initial_seed())

    def output(self, distribution: str, some: bool = False) -> verify.Error:
        """Run once on fresh inputs with the output poisoned. Raises IncorrectError; `some` compares only some images.

        The output is copied in stream order directly after the run, as whatever follows a convolution would read it.
        """
        distributions.CHECKED[distribution](self.x, self.f, self.generator)
        inputs = self._inputs()
        verify.poison(self.y)
        self.plan.run(self.x, self.f, self.y)
        taken = self.y.clone()
        if inputs != self._inputs():
            raise IncorrectError("inputs", "the run changed X or F, which it may only read")
        error = self._compare(taken, some, f" on {distribution} inputs")
        if not torch.equal(verify.bits(taken), verify.bits(self.y)):
            raise IncorrectError("late work", "the output changed after the run had ended")
        self.memory()
        return error

    def memory(self) -> None:
        """Nothing wrote outside of X, F, Y and the workspace. Raises IncorrectError."""
        if damaged := self.guards.damaged():
            raise IncorrectError("guard bands", f"wrote out of bounds: {', '.join(damaged)}")

    def stream(self) -> None:
        """On a GPU: all work is done in the order of the stream on which it is timed. Raises IncorrectError.

        The stream is blocked, and the run and a copy of its output are queued. While it is blocked the output must stay
        poisoned; once it is released the copy, which follows at once, must find all of it written. A run that
        synchronizes fails too: its time could not be separated from the host's.
        """
        if self.y.device.type != "cuda":
            return
        other, taken = torch.cuda.Stream(), torch.empty_like(self.y)
        verify.poison(self.y)
        torch.cuda.synchronize()
        try:
            with Gate().closed():
                self.plan.run(self.x, self.f, self.y)
                taken.copy_(self.y)
                time.sleep(_SHOW_SECONDS)
                with torch.cuda.stream(other):
                    early = verify.unwritten(self.y) < self.y.numel()
        except WaitedError as error:
            raise IncorrectError("stream order", str(error)) from error
        torch.cuda.synchronize()
        if early:
            raise IncorrectError("stream order", "the work began before what was queued ahead of it had ended")
        if missing := verify.unwritten(taken):
            raise IncorrectError("stream order", f"{missing} outputs were not there when what was queued behind began")

    def change_inputs(self, prepare: bool) -> None:
        """Before a timed run: poison the output and change a value of X and of F, so that no cached answer is right.

        `prepare` also transforms them, for protocols that time only what follows the transform.
        """
        verify.poison(self.y)
        for tensor, low, high in ((self.x, 0.0, 1.0), (self.f, -0.5, 0.5)):  # as distributions.uniform draws them
            place = self._chance.randrange(tensor.numel())
            tensor.view(-1)[place : place + 1].uniform_(low, high, generator=self.generator)
        if prepare:
            self.plan.prepare(self.x, self.f)

    def last_run(self) -> None:
        """Check the output of the last timed run, which was poisoned before it. Raises IncorrectError."""
        self._compare(self.y, True, " in the last timed run")
        self.memory()

    def repeated_run(self, clock: Clock, work: Callable[[], None], samples: Sequence[float]) -> None:
        """For protocols that change nothing between timed runs: poison the output, time one more run and check it.

        It must not take far longer than `samples`, or than the same work takes by now: else those runs did something
        else. Raises IncorrectError.
        """
        poisoned: list[float] = []
        usual: list[float] = []
        longest = max(samples)
        while len(poisoned) < _TRIES:
            verify.poison(self.y)
            poisoned.append(clock.sample(work))
            if passes := poisoned[-1] <= _SLOWER * longest:
                break
            time.sleep(_APART_SECONDS)
            # Load that came after the last sample slows every run, with or without poison.
            usual.append(clock.sample(work))
            if len(usual) >= _LEAST_USUAL:
                longest = max(*samples, statistics.median(usual).value)
        self.last_run()
        if not passes:
            took = f"took {min(poisoned):.3g} ms or more, {_TRIES} times; others at most {longest:.3g} ms"
            raise IncorrectError("timed work", f"a run with its output poisoned {took}")

    def _compare(self, y: torch.Tensor, some: bool, when: str) -> verify.Error:
        batch = self.problem.batch
        images = self._chance.sample(range(batch), min(batch, _SOME_IMAGES)) if some else None
        error = verify.error(self.problem, self.x, self.f, y, images)
        missing = verify.unwritten(y)
        if not missing and error.within(*self.bounds):
            return error
        if y is not self.y and self._changes(y):
            raise IncorrectError("late work", f"the output was still being written after the run had ended{when}")
        if missing:
            raise IncorrectError("unwritten", f"{missing} of {y.numel()} outputs were not written{when}")
        fro, largest = self.bounds
        raise IncorrectError(
            "accuracy",
            f"error_fro {error.fro:.3g} (allowed {fro:.3g}), error_max {error.max:.3g} (allowed {largest:.3g}){when}",
        )

    def _changes(self, taken: torch.Tensor) -> bool:
        """Whether the output still changes within half a second after it was copied."""
        for _ in range(10):
            if not torch.equal(verify.bits(taken), verify.bits(self.y)):
                return True
            time.sleep(0.05)
        return False

    def _inputs(self) -> tuple[int, ...]:
        return tuple(int(verify.bits(tensor).sum(dtype=torch.int64)) for tensor in (self.x, self.f))

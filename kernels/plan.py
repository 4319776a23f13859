"""A plan: an algorithm made ready for one problem on one device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from .problem import ConvProblem


class UnsupportedError(Exception):
    """The algorithm, or the library behind it, declines this problem; the message is its reason."""


def take_only(problem: ConvProblem, padding: bool = False, dilation: bool = False, groups: bool = False) -> None:
    """Raises UnsupportedError if `problem` has padding, dilation or groups that is not said to be taken."""
    has = {
        "padding": problem.is_padded and not padding,
        "dilation": problem.dilation != (1, 1) and not dilation,
        "groups": problem.groups > 1 and not groups,
    }
    if declined := [name for name, found in has.items() if found]:
        raise UnsupportedError(f"it takes no {' and no '.join(declined)}")


@dataclass(frozen=True)
class Epilogue:
    """What becomes of each result before it is written: these, in this order, each rounded to FP32."""

    #: One number for each output channel, to be added.
    bias: torch.Tensor | None = None
    #: A tensor of Y's shape, to be added.
    residual: torch.Tensor | None = None
    #: Whether what is below zero becomes zero.
    relu: bool = False


class Plan(ABC):
    """One algorithm made ready for one problem on one device, its workspace allocated.

    `prepare` followed by `compute` is the whole convolution, NCHW in and NCHW out. Everything that the
    `kernel_only` protocol leaves out of the timed region belongs in `prepare`.
    """

    #: Device memory that the plan holds besides X, F and Y, in bytes; None if the library behind it allocates its own,
    #: which is then read off the allocator's peak.
    workspace_bytes: int | None = 0
    #: Of the workspace what each run writes anew, and what it finds zero and leaves zero. Runs at the same time need
    #: their own of both; the rest of the workspace is constant or what `prepare` writes.
    scratch: tuple[torch.Tensor, ...] = ()
    semaphores: tuple[torch.Tensor, ...] = ()

    def prepare(self, x: torch.Tensor, f: torch.Tensor) -> None:  # noqa: B027 (most have nothing to prepare)
        """Bring X and F into the layout that `compute` reads: the im2win transform and the filter's reordering."""

    def fuse(self, epilogue: Epilogue) -> None:
        """Have `compute` apply an epilogue from now on. Raises UnsupportedError if the kernel has none."""
        raise UnsupportedError("the kernel writes its results as they are")

    @abstractmethod
    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        """Write the convolution of X and F, as last prepared, into every element of Y."""

    def run(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        """Y = X * F, end to end, on the current stream."""
        self.prepare(x, f)
        self.compute(x, f, y)

    def autotune(  # noqa: B027 (most have nothing to choose)
        self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, time: Callable[[Callable[[], None]], float]
    ) -> None:
        """Choose among implementations by timing them, if there are several; the plan has run before.

        `time` runs work, which must have run before, a few times and returns its time in milliseconds.
        """

    def close(self) -> None:  # noqa: B027 (most hold nothing but tensors)
        """Give back what the plan holds beside tensors, such as a library's handles. May be called again."""


class OverlappingPlan(Plan):
    """A plan whose main kernel may start before those of `prepare` have ended, by programmatic dependent launch.

    The kernel waits for them itself (cuda/include/overlap.cuh).
    """

    #: Whether that pays for this plan (KernelLibrary.fills_device), and there is something to overlap with.
    _overlaps: bool

    @abstractmethod
    def _multiply(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, overlap: bool) -> None:
        """What `compute` does, `overlap` as in KernelLibrary.launch."""

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self._multiply(x, f, y, overlap=False)

    def run(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self.prepare(x, f)
        self._multiply(x, f, y, overlap=self._overlaps)

"""A plan's launches, noted once and repeated on other tensors: a call costs the host no more than the launches.

What a plan holds beside constants belongs to nobody here: the prepared filter is the weight's (`weights`), everything
else is allocated anew for each call, by PyTorch's allocator. So one record serves all streams and threads, and CUDA
graphs.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import chain
from threading import Lock
from typing import Any, NamedTuple, cast

import torch

from ..algorithm import Algorithm
from ..families.im2win_tensor_core import sum_partials
from ..launch import KernelLibrary, problem_arguments
from ..packed import Launch, address
from ..plan import Epilogue, UnsupportedError
from ..problem import ConvProblem
from . import tuning

#: The slots of X, F, Y, bias and residual; those of the prepared filter, scratch and semaphores follow.
_X, _F, _Y, _BIAS, _RESIDUAL = range(5)


class Fused(NamedTuple):
    """What is to be done to a result before it is written; see `kernels.plan.Epilogue`."""

    bias: bool = False
    residual: bool = False
    relu: bool = False


_NOTHING = Fused()


class Prepared(NamedTuple):
    """A filter as the launches read it, and where."""

    tensors: list[torch.Tensor]
    pointers: list[int]


#: What launches that prepare a filter do -> its number.
_PREPARATIONS: dict[Hashable, int] = {}


class _Recorder:
    """Stands for a library while a plan runs, and notes the launches instead of starting them.

    Until `notes` is set it starts them.
    """

    def __init__(self, library: KernelLibrary) -> None:
        self._library = library
        self._noted: list[Launch] = []
        self.notes = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)

    def launch(
        self,
        kernel: Any,
        grid: tuple[int, ...],
        threads: int,
        *arguments: torch.Tensor | int | None,
        shared_bytes: int = 0,
        cluster: int = 1,
        overlap: bool = False,
    ) -> None:
        if self.notes:  # what runs before is not known to let another kernel begin: no overlap
            self._noted.append(Launch(kernel, grid, threads, arguments, shared_bytes, cluster))
            return
        how = {"shared_bytes": shared_bytes, "cluster": cluster, "overlap": overlap}
        self._library.launch(kernel, grid, threads, *arguments, **how)  # type: ignore[arg-type]

    def take(self) -> list[Launch]:
        noted, self._noted = self._noted, []
        return noted


class Recorded:
    """The convolution of one problem on one device."""

    def __init__(
        self,
        algorithm: Algorithm,
        problem: ConvProblem,
        device: torch.device,
        library: KernelLibrary,
        fused: Fused = _NOTHING,
        tuned: bool = False,
    ) -> None:
        """Raises UnsupportedError if the algorithm declines the problem, or transforms X.

        `tuned` has the algorithm time its tiles; else it takes the one that is estimated to be the fastest.
        """
        recorder = _Recorder(library)
        plan = algorithm.plan(problem, device, cast("KernelLibrary", recorder), tf32=False)
        if tuned:
            tuning.tune(plan, problem, device)
        recorder.notes = True
        x, f, y, bias, residual = (torch.empty(0) for _ in range(5))
        epilogue = Epilogue(bias if fused.bias else None, residual if fused.residual else None, fused.relu)
        apart = False
        try:
            if fused != _NOTHING:
                plan.fuse(epilogue)
        except UnsupportedError:
            apart = True
        plan.prepare(x, f)
        prepare = recorder.take()
        plan.compute(x, f, y)
        if apart:
            sizes = problem_arguments(problem, windows=False)
            sum_partials(cast("KernelLibrary", recorder), y, y, epilogue, 1, sizes)
        compute = recorder.take()
        # All that `prepare` is handed but F it writes: the filter as `compute` reads it.
        used = [one for launch in prepare for one in launch.arguments if isinstance(one, torch.Tensor) and one is not f]
        if any(one is x for one in used):
            raise UnsupportedError("it transforms X into a workspace, which is slower than what does not")
        changing: list[Sequence[torch.Tensor]] = [
            list({id(one): one for one in used}.values()),
            *([one for one in held if one.numel()] for held in (plan.scratch, plan.semaphores)),
        ]
        slots = {id(one): slot for slot, one in enumerate((x, f, y, bias, residual, *chain(*changing)))}
        self.name = algorithm.name
        self.output_shape = problem.output_shape
        self._device, self._lock = device, Lock()
        self._prepared, self._scratch, self._semaphores = (
            [(one.shape, one.dtype) for one in held] for held in changing
        )
        self._of_prepare, self._of_compute = (
            [library.bind(launch, [slots.get(id(one)) for one in launch.arguments]) for launch in launches]
            for launches in (prepare, compute)
        )
        done = [
            (launch.kernel, launch.grid, launch.threads, *(slots.get(id(one), one) for one in launch.arguments))
            for launch in prepare
        ]
        # Records with the same number prepare a filter alike, as those of several batch sizes may.
        self.preparation = _PREPARATIONS.setdefault((device, *done, *self._prepared), len(_PREPARATIONS))
        # The launches have the addresses of what is in no slot.
        self._constants = [
            one
            for launch in (*prepare, *compute)
            for one in launch.arguments
            if isinstance(one, torch.Tensor) and id(one) not in slots
        ]

    def prepare(self, f: torch.Tensor, prepared: Prepared | None = None) -> Prepared:
        """The filter as `compute` reads it, besides F itself; on the current stream of the device.

        In new tensors, or in those of an earlier call.
        """
        if prepared is None:
            # Zeros: what pads a filter to whole tiles is copied, though never used.
            tensors = [torch.zeros(shape, dtype=dtype, device=self._device) for shape, dtype in self._prepared]
            prepared = Prepared(tensors, [one.data_ptr() for one in tensors])
        self._start(self._of_prepare, [0, f.data_ptr(), 0, 0, 0, *prepared.pointers])
        return prepared

    def compute(
        self,
        x: torch.Tensor,
        f: torch.Tensor,
        y: torch.Tensor,
        prepared: Prepared,
        bias: torch.Tensor | None = None,
        residual: torch.Tensor | None = None,
    ) -> None:
        """Write the convolution of X and F, which was `prepared`, into Y; on the current stream of the device.

        `bias` and `residual` are there if they were to be `fused`.
        """
        pointers = [x.data_ptr(), f.data_ptr(), y.data_ptr(), address(bias), address(residual), *prepared.pointers]
        if self._scratch or self._semaphores:
            held = [torch.empty(shape, dtype=dtype, device=self._device) for shape, dtype in self._scratch]
            held += [torch.zeros(shape, dtype=dtype, device=self._device) for shape, dtype in self._semaphores]
            pointers += [one.data_ptr() for one in held]
        self._start(self._of_compute, pointers)

    def _start(self, launches: Sequence[Any], pointers: Sequence[int]) -> None:
        stream = current_stream(self._device)
        with self._lock:
            for launch in launches:
                launch(pointers, stream)


def current_stream(device: torch.device) -> int:
    """The handle of PyTorch's current stream on a device; 0 on the CPU, where the tests run."""
    if device.type != "cuda":
        return 0
    return int(torch._C._cuda_getCurrentRawStream(device.index))

"""Times the forward passes of a network with one backend, in this process: the rows of its batches and modes."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from analysis.table import statistics
from workflow.harness import timing
from workflow.harness.monitor import Monitor
from workflow.machine import cores
from workflow.machine.devices import find_gpus
from workflow.machine.lease import leased_gpu
from workflow.networks import forward
from workflow.networks.backends import BACKENDS
from workflow.networks.trace import first_line

#: Images of which the output is compared with float64, at most.
COMPARED = 8
#: What is to be timed: a batch and a mode.
Pass = tuple[int, str]


@dataclass(frozen=True)
class Row:
    """One line of the table. Bytes are the allocator's peak in a forward pass, weights and inputs included."""

    model: str
    batch: int
    backend: str
    mode: str
    status: str
    reason: str
    time_ms: float | None = None
    time_ms_low: float | None = None
    time_ms_high: float | None = None
    samples: int | None = None
    stop_reason: str = ""
    peak_bytes: int | None = None
    error_fro: float | None = None


@contextmanager
def device() -> Iterator[tuple[torch.device, str | None]]:
    """What is measured on: a GPU that is leased meanwhile, with its UUID, or the CPU.

    With a GPU this process keeps to that GPU's share of the host's cores.
    """
    gpus = [gpu.uuid for gpu in find_gpus()]
    if not gpus:
        yield torch.device("cpu"), None
        return
    with leased_gpu(gpus) as uuid:
        cores.keep_to(uuid)
        yield torch.device("cuda", 0), uuid


@dataclass(frozen=True)
class Timer:
    """Times the passes of a network, which is called `name` in the rows, with one backend on one device."""

    name: str
    backend: str
    device: torch.device
    protocol: Mapping[str, Any]
    monitor: Monitor

    def rows(
        self, model: nn.Module, inputs: Callable[[int], list[torch.Tensor]], passes: Sequence[Pass]
    ) -> Iterator[Row]:
        """A row for each pass, in their order but batch by batch, as cuDNN's autotuner runs once for each.

        `model` is as PyTorch made it, on the device, and is changed; `inputs` makes those of a batch, the same ones
        every time. What does not fit into memory is a row; another failure ends it.
        """
        backend, batches = BACKENDS[self.backend], dict.fromkeys(batch for batch, _ in passes)
        # Before the autotuner is on: it need not search among algorithms in float64.
        wanted = {batch: self._exact(model, inputs(batch)) for batch in batches}
        forward.set_up(backend)
        for batch in batches:
            for mode in [mode for its, mode in passes if its == batch]:
                if mode == "graph" and self.device.type != "cuda":
                    yield Row(self.name, batch, self.backend, mode, "unsupported", "CUDA graphs need an NVIDIA GPU")
                    continue
                network: nn.Module | None
                try:
                    network, taken = forward.prepare(model, backend, inputs(batch))
                    yield self._time(network, taken, (batch, mode), wanted[batch])
                except torch.OutOfMemoryError as error:
                    yield Row(self.name, batch, self.backend, mode, "out_of_memory", first_line(error))
                network, taken = None, []
                self._free()

    def _exact(self, model: nn.Module, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        wanted = forward.exact(model, [one[:COMPARED] for one in inputs])
        self._free()
        return wanted

    def _free(self) -> None:
        """Give the memory of what is not used any more back, so that the next pass has all of it."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _time(self, network: nn.Module, inputs: list[torch.Tensor], timed: Pass, wanted: Sequence[torch.Tensor]) -> Row:
        batch, mode = timed
        network(*inputs)  # chooses algorithms, prepares weights and compiles kernels
        if mode == "graph":  # what it uses is allocated while it is captured
            self._reset_peak()
        run = forward.runner(network, inputs, mode)
        if mode != "graph":
            run()
            self._reset_peak()
        output = run()
        peak = torch.cuda.max_memory_allocated() if self.device.type == "cuda" else None
        error = forward.difference(output, wanted)
        if not math.isfinite(error):
            said = "its output, or that in float64, is not finite"
            return Row(self.name, batch, self.backend, mode, "incorrect", said, peak_bytes=peak)
        taken = timing.measure(timing.WallClock(self.device), run, dict(self.protocol), statistics.median, self.monitor)
        found = taken.estimate
        times = {"time_ms": found.value, "time_ms_low": found.low, "time_ms_high": found.high}
        rest = {"samples": len(taken.samples), "stop_reason": taken.stop_reason, "peak_bytes": peak, "error_fro": error}
        return Row(self.name, batch, self.backend, mode, "ok", "", **times, **rest)  # type: ignore[arg-type]

    def _reset_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

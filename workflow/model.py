"""Times a whole network with and without this project's convolutions, and compares its output with float64.

    python -m workflow.model torchvision.models:resnet50 --input 3,224,224
    python -m workflow.model mine.py:Model --input 80,101 --batch 1 64 --backend pytorch im2win --output models.csv
    python -m workflow.model torchvision.models:resnet50 --input 3,224,224 --layers

A model is named as for `python -m workflow.network`; its weights are what it makes itself of, random ones with seed 0,
in eval mode. Every backend, batch and mode has a process of its own. Times are the host's, launches included. With
--layers it is each convolution of the network that is timed, by PyTorch and by this project, and told which to keep.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.table import statistics
from analysis.table.files import csv_text, write_atomically
from workflow.experiment import catalog
from workflow.experiment.errors import RequestError
from workflow.machine.devices import find_gpus
from workflow.network import parse_arguments, parse_input
from workflow.networks.errors import ModelError

#: Images of which the output is compared with float64, at most.
_COMPARED = 8
#: How long one process may take: compiling a model takes minutes.
_LIMIT_SECONDS = 1800


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


def measure(options: argparse.Namespace, backend: str, mode: str, batch: int) -> Row:
    """One row, in this process."""
    import torch

    from workflow.harness import timing
    from workflow.harness.monitor import monitor
    from workflow.networks import forward

    if mode == "graph" and not find_gpus():
        return Row(options.model, batch, backend, mode, "unsupported", "CUDA graphs need an NVIDIA GPU")
    with _device() as (device, uuid), torch.no_grad(), monitor(uuid) as watching:
        forward.set_up(forward.BACKENDS[backend])
        model = _make(options, device)
        inputs = _inputs(options, batch, device)
        compared = [one[:_COMPARED] for one in inputs]
        error = forward.error(model, compared, forward.BACKENDS[backend])
        model, inputs = forward.prepare(model, forward.BACKENDS[backend], inputs)
        run = forward.runner(model, inputs, mode)
        run()
        if uuid:
            torch.cuda.reset_peak_memory_stats()
        run()
        peak = torch.cuda.max_memory_allocated() if uuid else None
        protocol = catalog.read().get("protocol", "end_to_end")
        taken = timing.measure(timing.WallClock(device), run, protocol, statistics.median, watching)
    found = taken.estimate
    times = {"time_ms": found.value, "time_ms_low": found.low, "time_ms_high": found.high}
    rest = {"samples": len(taken.samples), "stop_reason": taken.stop_reason, "peak_bytes": peak, "error_fro": error}
    return Row(options.model, batch, backend, mode, "ok", "", **times, **rest)  # type: ignore[arg-type]


def layers(options: argparse.Namespace) -> Iterator[str]:
    """A line for each convolution of the network, in this process: both times in ms, and which to keep."""
    import torch

    import kernels
    from workflow.harness import timing
    from workflow.networks import forward

    with _device() as (device, _), torch.no_grad():
        forward.set_up(forward.BACKENDS["pytorch"])
        model = _make(options, device)
        batch = max(options.batch)
        with forward.seen_convolutions(model) as shapes:
            model(*_inputs(options, batch, device))
        clock, slower = timing.cold_clock(device), []
        yield f"{'module':40} {'input':>22} {'PyTorch ms':>11} {'im2win ms':>10} {'speedup':>8}"
        for name, shape in shapes.items():
            module, x = model.get_submodule(name), torch.randn(shape, device=device)
            theirs = timing.quick_median(clock, lambda module=module, x=x: module(x))  # type: ignore[misc]
            kernels.convert(module)
            ours = timing.quick_median(clock, lambda module=module, x=x: module(x))  # type: ignore[misc]
            slower += [name] if ours > theirs else []
            yield f"{name[-40:]:40} {'x'.join(map(str, shape)):>22} {theirs:11.4f} {ours:10.4f} {theirs / ours:7.2f}x"
        yield f"{len(shapes) - len(slower)} of {len(shapes)} are faster by im2win at batch {batch}"
        if slower:
            yield f"leave the others to PyTorch: convert(model, only=lambda name, module: name not in {slower})"


@contextmanager
def _device() -> Iterator[tuple[Any, str | None]]:
    """What is measured on: a GPU that is leased meanwhile, with its UUID, or the CPU."""
    import torch

    from workflow.machine.lease import leased_gpu

    gpus = [gpu.uuid for gpu in find_gpus()]
    if not gpus:
        yield torch.device("cpu"), None
        return
    with leased_gpu(gpus) as uuid:
        yield torch.device("cuda", 0), uuid


def _make(options: argparse.Namespace, device: Any) -> Any:
    import torch

    from workflow.networks import models

    torch.manual_seed(0)
    return models.make(options.model, parse_arguments(options.arguments), "cpu").to(device).eval()


def _inputs(options: argparse.Namespace, batch: int, device: Any) -> list[Any]:
    import torch

    from workflow.networks import models

    torch.manual_seed(1)
    tensors = []
    for text in options.input:
        (_, *sizes), kind = parse_input(text)
        dtype, shape = models.type_of(kind), (batch, *sizes)
        numbers = torch.randn(shape) if dtype.is_floating_point else torch.zeros(shape)
        tensors.append(numbers.to(device, dtype))
    return tensors


def table(options: argparse.Namespace, words: Sequence[str]) -> Iterator[Row]:
    """The rows, each measured in a process of its own; a failure is a row with its reason."""
    from workflow.networks.forward import BACKENDS

    for batch in options.batch:
        for mode in options.mode:
            for backend in options.backend:
                one = json.dumps([backend, mode, batch])
                command = [sys.executable, "-m", "workflow.model", *words, "--one", one]
                environment = os.environ | BACKENDS[backend].environment
                try:
                    result = subprocess.run(
                        command, env=environment, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False
                    )
                    yield Row(**json.loads(result.stdout.splitlines()[-1]))
                except subprocess.TimeoutExpired:
                    yield Row(options.model, batch, backend, mode, "failed", f"it took over {_LIMIT_SECONDS} s")
                except (ValueError, IndexError, TypeError):
                    said = [text for text in result.stderr.splitlines() if text.strip()] or ["it said nothing"]
                    status = "out_of_memory" if "OutOfMemoryError" in result.stderr else "failed"
                    yield Row(options.model, batch, backend, mode, status, said[-1].removeprefix("error: ")[:300])


def line(row: Row, first: dict[tuple[int, str], float]) -> str:
    """A row for a person; `first` has the time of the first backend for each batch and mode."""
    name = f"batch {row.batch:4} {row.mode:8} {row.backend:27}"
    if row.time_ms is None:
        return f"{name} {row.status}: {row.reason}"
    base = first.setdefault((row.batch, row.mode), row.time_ms)
    peak = f", {row.peak_bytes / 2**20:.0f} MiB" if row.peak_bytes else ""
    return f"{name} {row.time_ms:9.3f} ms {base / row.time_ms:6.2f}x, error {row.error_fro:.2e}{peak}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module."""
    from workflow.networks.forward import BACKENDS, MODES

    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m workflow.model", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="MODULE:CALLABLE or FILE.py:CALLABLE")
    parser.add_argument("--input", action="append", required=True, help="sizes of one image; once for each input")
    parser.add_argument("--arguments", nargs="+", default=[], help="of the callable: JSON, or KEY=VALUE ...")
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 64])
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=["pytorch", "pytorch_tf32", "im2win"])
    parser.add_argument("--mode", nargs="+", choices=MODES, default=["eager"])
    parser.add_argument("--output", type=Path, help="write the rows as CSV, too")
    parser.add_argument("--layers", action="store_true", help="time each convolution instead, at the largest batch")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # backend, mode and batch of this process, as JSON
    options = parser.parse_args(words)
    try:
        if min(options.batch) < 1:
            raise ModelError(f"--batch {min(options.batch)}: it must be a positive whole number")
        if options.one:
            print(json.dumps(asdict(measure(options, *json.loads(options.one)))))
            return 0
        if options.layers:
            for text in layers(options):
                print(text, flush=True)
            return 0
        # What is wrong with the model is told once, and before any process is started.
        _make(options, "cpu")
        _inputs(options, 1, "cpu")
        rows: list[Row] = []
        first: dict[tuple[int, str], float] = {}
        for row in table(options, words):
            rows.append(row)
            print(line(row, first), flush=True)
            if options.output:
                write_atomically(options.output, csv_text(Row, rows).encode())
    except (RequestError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

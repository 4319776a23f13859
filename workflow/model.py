"""Times a whole network with and without this project's convolutions, and compares its output with float64.

    python -m workflow.model torchvision.models:resnet50 --input 3,224,224
    python -m workflow.model mine.py:Model --input 80,101 --batch 1 64 --backend pytorch im2win --output models.csv
    python -m workflow.model torchvision.models:resnet50 --input 3,224,224 --layers

A model is named as for `python -m workflow.network`; its weights are what it makes itself of, random ones with seed 0,
in eval mode. Every backend has a process of its own, which times all batches and modes. Times are the host's, launches
included. With --layers it is each convolution of the network that is timed, by PyTorch and by this project, and told
which to keep. `workflow.models` has the same measured by the pipeline.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.table.files import csv_text, write_atomically
from workflow.experiment import catalog
from workflow.experiment.errors import RequestError
from workflow.machine import cores
from workflow.measure import die_with_parent
from workflow.network import parse_arguments, parse_input
from workflow.networks.backends import BACKENDS, MODES
from workflow.networks.errors import ModelError, NotInstalledError

if TYPE_CHECKING:
    from workflow.networks.timed import Pass, Row

#: How long one process may take, waiting for its turn included: compiling a model takes minutes.
LIMIT_SECONDS = 900
_HANGS = "no result within"
#: What begins a line of a measuring process that is for the one which started it.
_TOLD = "told: "


def measure(options: argparse.Namespace, job: Mapping[str, Any]) -> None:
    """Time the passes of a job with its backend, in this process, and tell the environment and each row."""
    cores.keep_to(None)  # nothing is timed there
    import torch

    from workflow.harness.monitor import monitor
    from workflow.machine import provenance
    from workflow.networks import timed

    passes: list[Pass] = [(batch, mode) for batch, mode in job["passes"]]
    try:
        model = _make(options)  # before the GPU's turn
    except ModelError as error:
        status = "unsupported" if isinstance(error, NotInstalledError) else "failed"
        reason = str(error).partition(";")[0] if status == "unsupported" else str(error)
        for batch, mode in passes:
            _tell(row=asdict(timed.Row(options.model, batch, job["backend"], mode, status, reason)))
        return
    with timed.device() as (device, uuid), torch.no_grad(), monitor(uuid) as watching:
        _tell(environment=provenance.environment(uuid))
        timer = timed.Timer(options.model, job["backend"], device, job["protocol"], watching)
        for row in timer.rows(model.to(device), partial(_inputs, options, device=device), passes):
            _tell(row=asdict(row))


def _tell(**said: Any) -> None:
    print(f"{_TOLD}{json.dumps(said)}", flush=True)


def in_a_process(
    words: Sequence[str], backend: str, passes: Sequence[Pass], protocol: Mapping[str, Any], log: Path
) -> Iterator[dict[str, Any]]:
    """What `measure` tells of a backend's passes, from a process of its own, whose other words go to `log`.

    `words` are those of the command line that say what the model is. One that dies leaves a row with the reason, and
    another one goes on after it; of one that hangs, all passes that are left have that reason.
    """
    left = list(passes)
    while left:
        job = json.dumps({"backend": backend, "passes": left, "protocol": dict(protocol)})
        told, why = _run([*words, "--one", job], os.environ | BACKENDS[backend].environment, log)
        yield from told
        done = {(one["row"]["batch"], one["row"]["mode"]) for one in told if "row" in one}
        left = [one for one in left if tuple(one) not in done]
        hangs = why.startswith(_HANGS)
        for batch, mode in left if hangs else left[:1]:
            status = "out_of_memory" if "OutOfMemoryError" in why else "failed"
            row = {"model": words[0], "batch": batch, "backend": backend, "mode": mode, "status": status, "reason": why}
            yield {"row": row}
        left = [] if hangs else left[1:]


def _run(words: Sequence[str], environment: Mapping[str, str], log: Path) -> tuple[list[dict[str, Any]], str]:
    """Run a measuring process; what it told, and why it ended before it had told all, if it has."""
    with tempfile.TemporaryFile("w+") as output, log.open("a") as errors:
        errors_from = errors.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "workflow.model", *words],
            env=environment,
            stdout=output,
            stderr=errors,
            text=True,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        why = ""
        try:
            process.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            why = f"{_HANGS} {LIMIT_SECONDS} s"
        finally:
            with suppress(ProcessLookupError):  # with what it started, such as compilers
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        told = [json.loads(line.removeprefix(_TOLD)) for line in output if line.startswith(_TOLD) and line[-1] == "\n"]
    with log.open() as errors:
        errors.seek(errors_from)
        said = [line.strip() for line in errors if line.strip()] or ["it said nothing"]
    if process.returncode < 0:
        said = [f"the measuring process was killed by {signal.Signals(-process.returncode).name}"]
    return told, why or said[-1].removeprefix("error: ")[:300]


def layers(options: argparse.Namespace) -> Iterator[str]:
    """A line for each convolution of the network, in this process: both times in ms, and which to keep."""
    import torch

    import kernels
    from workflow.harness import timing
    from workflow.networks import forward, timed

    made = _make(options)
    with timed.device() as (device, _), torch.no_grad():
        forward.set_up(BACKENDS["pytorch"])
        model = made.to(device)
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


def _make(options: argparse.Namespace) -> Any:
    import torch

    from workflow.networks import models

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # another process may be at its turn
    try:
        torch.manual_seed(0)
        return models.make(options.model, parse_arguments(options.arguments), "cpu").eval()
    finally:
        torch.set_num_threads(threads)


def _inputs(options: argparse.Namespace, batch: int, device: Any = "cpu") -> list[Any]:
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
    """The rows, those of each backend measured in a process of its own; a failure is a row with its reason."""
    from workflow.networks.timed import Row

    protocol = catalog.read().get("protocol", "end_to_end")
    passes = [(batch, mode) for batch in options.batch for mode in options.mode]
    with tempfile.TemporaryDirectory() as folder:
        for backend in options.backend:
            for told in in_a_process(words, backend, passes, protocol, Path(folder, "log.txt")):
                if "row" in told:
                    yield Row(**told["row"])


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
    parser.add_argument("--one", help=argparse.SUPPRESS)  # what this process is to measure, as JSON
    options = parser.parse_args(words)
    try:
        if min(options.batch) < 1:
            raise ModelError(f"--batch {min(options.batch)}: it must be a positive whole number")
        if options.one:
            measure(options, json.loads(options.one))
            return 0
        if options.layers:
            for text in layers(options):
                print(text, flush=True)
            return 0
        # What is wrong with the model is told once, and before any process is started.
        _make(options)
        _inputs(options, 1)
        from workflow.networks.timed import Row

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

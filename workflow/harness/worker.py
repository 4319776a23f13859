"""The measuring process: one algorithm on one problem, under each of its protocols.

Started by workflow.measure, which survives its crash; the point comes through standard input. The
order matters: memory is read before anything but the algorithm has allocated any; correctness is checked before any
time is taken, and again afterwards, each time on fresh inputs and a poisoned output.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from analysis.table import statistics
from analysis.table.files import write_json
from kernels import algorithm as algorithms
from kernels.algorithm import Algorithm
from kernels.plan import Plan, UnsupportedError
from kernels.problem import ConvProblem
from workflow.harness import distributions, lower_bounds, memory, surroundings, timing, verify
from workflow.harness.checks import Checks, IncorrectError
from workflow.harness.guards import Guards
from workflow.harness.identity import harness_hash
from workflow.harness.lower_bounds import OverCeilingError
from workflow.harness.monitor import Monitor, monitor
from workflow.harness.outcome import empty_rows, result_document
from workflow.harness.surroundings import UntimedError
from workflow.harness.timing import ThrottledError
from workflow.machine import provenance
from workflow.machine.devices import find_gpus, nvml, require_in_use, use
from workflow.machine.lease import lease
from workflow.machine.settings import settings


def main() -> int:
    """Read the job of workflow.measure from standard input, measure, write the result."""
    job = json.load(sys.stdin)
    point = job["point"]
    cuda = point["device"]["kind"] == "cuda"
    devices = [gpu.uuid for gpu in find_gpus()] if cuda else ["cpu"]
    if not devices:
        raise SystemExit("no NVIDIA GPU was found where this point was to be measured")
    _get_ready(point)
    # NVML stays initialized from here to the end, and what asks it meanwhile need not begin anew.
    with nvml() if cuda else nullcontext(), lease(devices) as device:
        # From here the time limit counts. The alarm ends the process even while it waits for a hung kernel.
        signal.alarm(math.ceil(point["device"]["time_limit_seconds"]))
        if cuda:
            use(device)
        kernels, ceilings = (Path(job[name]) if job.get(name) else None for name in ("kernels", "ceilings"))
        known = json.loads(ceilings.read_text()) if ceilings else {}
        document = measure(point, kernels, device if cuda else None, known)
        document["attempt"] = job["attempt"]
        document["run"]["log"] = job["log"]
    write_json(Path(job["output"]), document)
    return 0


def _get_ready(point: dict[str, Any]) -> None:
    """Do all that needs no device before waiting for one: other points are measured meanwhile.

    These functions cache their results. None of them may initialize CUDA, which reads CUDA_VISIBLE_DEVICES only once;
    asking PyTorch for cuDNN's version would.
    """
    _load(point["algorithm"])
    empty_rows(point)
    harness_hash()
    provenance.git_state()


def measure(
    point: dict[str, Any], kernels: Path | None, uuid: str | None, ceilings: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The result document of `point` (see workflow.harness.outcome), whatever the outcome.

    `uuid` names the GPU, if any. `ceilings` are the machine's (see workflow.ceilings); without them no time is held
    against its floor.
    """
    run: dict[str, Any] = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "harness_hash": harness_hash(),
        "uuid": uuid,
        "settings": settings(),
        "threads": None if uuid else surroundings.use_threads(point["device"].get("threads", 0)),
        "protocols": {},
        "seconds": {},
    }
    record = Record(empty_rows(point), {}, run)
    status, reason = "ok", ""
    try:
        _measure_into(point, kernels, uuid, ceilings or {}, record)
    except UnsupportedError as error:
        status, reason = "unsupported", str(error)
    except torch.cuda.OutOfMemoryError as error:
        status, reason = "out_of_memory", _sentence(error)
    except IncorrectError as error:
        status, reason = "incorrect", str(error)
    except UntimedError as error:
        status, reason = "failed", str(error)
    except (OverCeilingError, ThrottledError) as error:
        print(json.dumps({"reason": str(error), "run": run, "samples": record.samples}))  # into the log
        status, reason = "failed", str(error)
        if isinstance(error, OverCeilingError):
            run["over_ceiling"] = error.facts
    except Exception as error:
        traceback.print_exc()
        status, reason = "failed", f"{type(error).__name__}: {_sentence(error)}"
    return result_document(point, status, reason, record.rows, record.samples, provenance.environment(uuid), run)


def _sentence(error: Exception) -> str:
    """The first two sentences of an error: those of PyTorch's out-of-memory message name the bytes asked for."""
    text = " ".join(str(error).split())
    return ". ".join(text.split(". ")[:2])[:300]


@dataclass
class Record:
    """What measuring a point leaves behind: rows of the table, samples by protocol, and facts about the run."""

    rows: list[dict[str, Any]]
    samples: dict[str, list[float]]
    run: dict[str, Any]

    def __post_init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Note how long it is since the last lap, in seconds."""
        last, self._last = self._last, time.perf_counter()
        self.run["seconds"][name] = round(self._last - last, 3)


@dataclass(frozen=True)
class Subject:
    """What is measured: an algorithm's plan for a problem, on guarded tensors of one device."""

    point: dict[str, Any]
    problem: ConvProblem
    algorithm: Algorithm
    plan: Plan
    tensors: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    guards: Guards
    generator: torch.Generator
    used: memory.Memory
    kernels: Path | None
    uuid: str | None

    @property
    def device(self) -> torch.device:
        return self.tensors[0].device


def _measure_into(
    point: dict[str, Any], kernels: Path | None, uuid: str | None, ceilings: dict[str, Any], record: Record
) -> None:
    """Measure the point, step by step. Memory is read before anything but the algorithm has allocated any."""
    with ExitStack() as stack:
        subject = _set_up(point, kernels, uuid, record, stack)
        record.lap("plan and memory")
        with subject.guards.around("the workspace", subject.device):
            subject.plan.autotune(*subject.tensors, partial(timing.quick_median, timing.cold_clock(subject.device)))
        record.lap("autotune")
        checks = _checks(subject)
        checks.output("scaled_normal")
        if why := surroundings.why_untimed(subject.device):
            checks.output("uniform")
            checks.output("log_uniform", some=True)
            raise UntimedError(f"its results are right, but it cannot be timed: {why}")
        checks.stream()
        record.lap("checks before")
        with monitor(uuid) as gpu:
            for row, protocol in zip(record.rows, point["protocols"], strict=True):
                row |= _take(subject, checks, protocol, gpu, record)
                _hold(subject, protocol, row["time_ms"], ceilings)
                record.lap(protocol["name"])
        error = checks.output("uniform")
        checks.output("log_uniform", some=True)
        record.lap("checks after")
    for row in record.rows:
        row |= _common(subject, error)


def _set_up(point: dict[str, Any], kernels: Path | None, uuid: str | None, record: Record, stack: ExitStack) -> Subject:
    """Allocate the tensors, plan, run once, and read the memory that this took; `stack` closes the plan."""
    used_before = memory.used_bytes(uuid) if uuid else None
    if uuid:
        require_in_use(uuid)
    device = torch.device("cuda", 0) if uuid else torch.device("cpu")
    problem = ConvProblem.from_layer(point["layer"], point["batch"])
    algorithm = _load(point["algorithm"])
    generator = torch.Generator(device)
    record.run["seed"] = generator.seed()  # drawn from the operating system, recorded so that a run can be repeated
    guards = Guards()
    shapes = {"X": problem.input_shape, "F": problem.filter_shape, "Y": problem.output_shape}
    x, f, y = (guards.empty(name, shape, torch.float32, device) for name, shape in shapes.items())
    distributions.uniform(x, f, generator)
    with guards.around("the workspace", device):
        plan = algorithm.plan(problem, device, _library(device, kernels, point), point["numerics"]["tf32"])
    stack.callback(plan.close)
    plan.run(x, f, y)
    used = memory.read(device, uuid, used_before, guards.bytes)
    record.run["memory_method"] = used.method
    return Subject(point, problem, algorithm, plan, (x, f, y), guards, generator, used, kernels, uuid)


def _checks(subject: Subject) -> Checks:
    numerics = subject.point["numerics"]
    allowed = (numerics["max_error_fro"], numerics["max_error_max"])
    return Checks(subject.plan, subject.problem, allowed, subject.guards, subject.generator, subject.tensors)


def _take(subject: Subject, checks: Checks, protocol: dict[str, Any], gpu: Monitor, record: Record) -> dict[str, Any]:
    """Time the subject under one protocol; the row's cells that follow from it."""
    x, f, _ = subject.tensors
    distributions.uniform(x, f, subject.generator)
    result = _time(subject, checks, protocol, gpu)
    record.samples[protocol["name"]] = result.samples
    state = provenance.gpu_state(subject.uuid) if subject.uuid else {}
    record.run["protocols"][protocol["name"]] = state | timing.conditions(result, gpu.usual_mhz)
    return _timed(result, subject.problem)


def _hold(subject: Subject, protocol: dict[str, Any], time_ms: float, ceilings: dict[str, Any]) -> None:
    """Hold a time against what the machine can do. Raises OverCeilingError."""
    arithmetic, tf32 = subject.point["algorithm"]["arithmetic"], subject.point["numerics"]["tf32"]
    lower_bounds.hold(
        protocol["name"],
        time_ms,
        subject.point["device"]["ceiling_tolerance"],
        partial(lower_bounds.bounds, subject.problem, arithmetic, tf32, protocol, bool(subject.uuid)),
        ceilings,
        partial(_measure_ceiling, subject.device, subject.kernels),
    )


def _common(subject: Subject, error: verify.Error) -> dict[str, Any]:
    """The cells that the rows of all protocols share."""
    return {
        "workspace_bytes": _workspace_bytes(subject.plan, subject.used, subject.problem),
        "allocator_peak_bytes": subject.used.allocator_peak_bytes,
        "process_peak_bytes": subject.used.process_peak_bytes,
        "error_fro": error.fro,
        "error_max": error.max,
    }


def _measure_ceiling(device: torch.device, kernels: Path | None, name: str) -> dict[str, float]:
    from workflow.harness.ceilings import measure as measure_ceilings  # only needed if something is wrong

    return measure_ceilings(device, kernels, name)


def _load(chosen: dict[str, Any]) -> Algorithm:
    return algorithms.load(chosen["name"], chosen["module"], chosen["parameters"])


def _library(device: torch.device, kernels: Path | None, point: dict[str, Any]) -> Any:
    """The compiled programs, where the algorithm launches any; the CPU backend does without the import."""
    if device.type != "cuda" or not point["algorithm"]["programs"]:
        return None
    from kernels.launch import KernelLibrary

    return KernelLibrary(device, kernels)


def _workspace_bytes(plan: Plan, used: memory.Memory, problem: ConvProblem) -> int | None:
    """Counted by the plan; where a library allocates its own, the allocator's peak less X, F and Y."""
    if plan.workspace_bytes is not None or used.allocator_peak_bytes is None:
        return plan.workspace_bytes
    return used.allocator_peak_bytes - problem.tensor_bytes


def _time(subject: Subject, checks: Checks, protocol: dict[str, Any], gpu: Monitor) -> timing.Timing:
    """Time what the protocol says, all of the convolution or what follows the transform; and check what it computed."""
    plan, (x, f, y) = subject.plan, subject.tensors
    is_convolution = subject.algorithm.is_convolution
    whole = protocol["timed"] == "run" and is_convolution
    if not whole:
        plan.prepare(x, f)
    work = partial(plan.run if whole else plan.compute, x, f, y)
    clock = timing.make_clock(protocol, subject.device)

    def before_each() -> None:
        # With warm caches nothing may come between two samples. What the ceiling computes under the clock is not Y.
        if protocol["cold_l2"] and is_convolution:
            checks.change_inputs(prepare=not whole)

    result = timing.measure(clock, work, protocol, _estimator(protocol, subject.point["algorithm"]), gpu, before_each)
    if not is_convolution:
        return result
    if protocol["cold_l2"]:
        checks.last_run()
    else:
        checks.repeated_run(clock, work, result.samples)
    return result


def _estimator(protocol: dict[str, Any], algorithm: dict[str, Any]) -> Callable[[list[float]], statistics.Estimate]:
    statistic = protocol["statistic"]
    if statistic == statistics.AUTHORS:
        statistic = algorithm["about"]["authors_statistic"]
    return partial(statistics.estimate, statistic=statistic)


def _timed(result: timing.Timing, problem: ConvProblem) -> dict[str, Any]:
    return {
        "time_ms": result.estimate.value,
        "time_ms_low": result.estimate.low,
        "time_ms_high": result.estimate.high,
        "samples": len(result.samples),
        "stop_reason": result.stop_reason,
        "tflops": problem.flops / (result.estimate.value * 1e9),
        "sm_clock_mhz": result.sm_clock_mhz,
    }


if __name__ == "__main__":
    sys.exit(main())

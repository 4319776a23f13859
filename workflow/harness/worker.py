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
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch

from analysis.table.files import write_json
from kernels import algorithm as algorithms
from kernels.algorithm import Algorithm, Plan, UnsupportedError
from kernels.problem import ConvProblem
from workflow.harness import lower_bounds, memory, statistics, timing, verify
from workflow.harness.checks import Checks, IncorrectError
from workflow.harness.guards import Guards
from workflow.harness.lower_bounds import OverCeilingError, floors
from workflow.harness.monitor import Monitor, monitor
from workflow.harness.outcome import empty_rows, result_document
from workflow.harness.timing import ThrottledError
from workflow.machine import provenance
from workflow.machine.devices import find_gpus, nvml, require_in_use, use
from workflow.machine.lease import lease

#: The artifact takes the minimum of its runs for its own kernels and direct convolution, the mean for the libraries.
_MINIMUM_FOR_AUTHORS = ("im2win", "direct", "cpu_im2win", "cpu_direct")


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
    """Do all that needs no device, before this process takes its turn at one: others are measured meanwhile.

    What these functions find they find quickly the next time. None of them may start CUDA, which looks for its devices
    once and for all; PyTorch's question for cuDNN's version does.
    """
    _load(point["algorithm"])
    empty_rows(point)
    provenance.harness_hash()
    provenance.git_state()


def measure(
    point: dict[str, Any], kernels: Path | None, uuid: str | None, ceilings: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The result document of `point` (see workflow.harness.outcome), whatever the outcome.

    `uuid` names the GPU, if any. `ceilings` are the machine's (see workflow.ceilings); without them no time is held
    against its floor.
    """
    rows = empty_rows(point)
    samples: dict[str, list[float]] = {}
    run: dict[str, Any] = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "harness_hash": provenance.harness_hash(),
        "uuid": uuid,
        "protocols": {},
        "seconds": {},
    }
    status, reason = "ok", ""
    try:
        _measure_into(point, kernels, uuid, ceilings or {}, rows, samples, run)
    except UnsupportedError as error:
        status, reason = "unsupported", str(error)
    except torch.cuda.OutOfMemoryError as error:
        status, reason = "out_of_memory", _sentence(error)
    except IncorrectError as error:
        status, reason = "incorrect", str(error)
    except (OverCeilingError, ThrottledError) as error:
        print(json.dumps({"reason": str(error), "run": run, "samples": samples}))  # into the log
        status, reason = "failed", str(error)
        if isinstance(error, OverCeilingError):
            run["over_ceiling"] = error.facts
    except Exception as error:
        traceback.print_exc()
        status, reason = "failed", f"{type(error).__name__}: {_sentence(error)}"
    return result_document(point, status, reason, rows, samples, provenance.environment(uuid), run)


def _sentence(error: Exception) -> str:
    """The first two sentences of an error: PyTorch's out-of-memory message gives the bytes asked for there."""
    text = " ".join(str(error).split())
    return ". ".join(text.split(". ")[:2])[:300]


def _measure_into(
    point: dict[str, Any],
    kernels: Path | None,
    uuid: str | None,
    ceilings: dict[str, Any],
    rows: list[dict[str, Any]],
    samples: dict[str, list[float]],
    run: dict[str, Any],
) -> None:
    lap = _laps(run["seconds"])
    used_before = memory.used_bytes(uuid) if uuid else None
    if uuid:
        require_in_use(uuid)
    device = torch.device("cuda", 0) if uuid else torch.device("cpu")
    sizes = {key: value for key, value in point["layer"].items() if key != "name"}
    problem = ConvProblem(batch=point["batch"], **sizes)
    numerics = point["numerics"]
    algorithm = _load(point["algorithm"])
    generator = torch.Generator(device)
    run["seed"] = generator.seed()  # drawn from the operating system, recorded so that a run can be repeated

    guards = Guards()
    shapes = {"X": problem.input_shape, "F": problem.filter_shape, "Y": problem.output_shape}
    x, f, y = (guards.empty(name, shape, torch.float32, device) for name, shape in shapes.items())
    verify.uniform(x, f, generator)
    with guards.around("the workspace"):
        plan = algorithm.plan(problem, device, _library(device, kernels, point), numerics["tf32"])
    plan.run(x, f, y)
    used = memory.read(device, uuid, used_before, guards.bytes)
    workspace = _workspace_bytes(plan, used, problem)
    lap("plan and memory")
    plan.settle(x, f, y, partial(timing.quick_median, device))
    lap("settle")

    allowed = (numerics["max_error_fro"], numerics["max_error_max"])
    checks = Checks(plan, problem, allowed, guards, generator, (x, f, y))
    checks.output("normal")
    checks.stream()
    lap("checks before")
    with monitor(uuid) as gpu:
        for row, protocol in zip(rows, point["protocols"], strict=True):
            name = protocol["name"]
            verify.uniform(x, f, generator)
            result = _time(algorithm, checks, protocol, device, point["algorithm"]["name"], gpu)
            samples[name] = result.samples
            state = provenance.gpu_state(uuid) if uuid else {}
            run["protocols"][name] = state | timing.conditions(result, gpu.usual_mhz)
            row |= _timed(result, problem)
            bounds = partial(floors, problem, point["algorithm"]["arithmetic"], numerics["tf32"], protocol, bool(uuid))
            lower_bounds.hold(
                name,
                result.estimate.value,
                point["device"]["ceiling_tolerance"],
                bounds,
                ceilings,
                partial(_measure_ceiling, device, kernels),
            )
            lap(name)
    error = checks.output("uniform")
    checks.output("wide", some=True)
    lap("checks after")
    for row in rows:
        row |= {
            "workspace_bytes": workspace,
            "allocator_peak_bytes": used.allocator_peak_bytes,
            "process_peak_bytes": used.process_peak_bytes,
            "error_fro": error.fro,
            "error_max": error.max,
        }
    run["memory_method"] = used.method


def _laps(seconds: dict[str, float]) -> Callable[[str], None]:
    """A function that notes in `seconds` how long it is since it was last called."""
    last = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal last
        last, before = time.perf_counter(), last
        seconds[name] = round(last - before, 3)

    return lap


def _measure_ceiling(device: torch.device, kernels: Path | None, name: str) -> dict[str, float]:
    from workflow.ceilings import measure as measure_ceilings  # needed when something is wrong, and only then

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


def _time(
    algorithm: Algorithm, checks: Checks, protocol: dict[str, Any], device: torch.device, name: str, gpu: Monitor
) -> timing.Timing:
    """Time what the protocol says: all of the convolution, or what follows the transform; and check what came of it."""
    plan, x, f, y = checks.plan, checks.x, checks.f, checks.y
    whole = protocol["timed"] == "run" and algorithm.is_convolution
    if whole:

        def work() -> None:
            plan.run(x, f, y)
    else:
        plan.prepare(x, f)

        def work() -> None:
            plan.compute(x, f, y)

    clock = timing.make_clock(protocol, device)

    def before_each() -> None:
        # With warm caches nothing may come between two samples. What the ceiling computes under the clock is not Y.
        if protocol["cold_l2"] and algorithm.is_convolution:
            checks.renew(prepare=not whole)

    result = timing.measure(clock, work, protocol, _estimator(protocol, name), gpu, before_each)
    if not algorithm.is_convolution:
        return result
    if protocol["cold_l2"]:
        checks.timed()
    else:
        checks.witnessed(clock, work, result.samples)
    return result


def _estimator(protocol: dict[str, Any], name: str) -> Callable[[list[float]], statistics.Estimate]:
    if protocol["statistic"] == "median":
        return statistics.median
    return statistics.minimum if name.startswith(_MINIMUM_FOR_AUTHORS) else statistics.mean


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

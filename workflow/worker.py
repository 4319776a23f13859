"""The measuring process: one algorithm on one problem, under each of its protocols.

Started by workflow.measure, which survives its crash; the point comes through standard input. The
order matters: memory is read before anything but the algorithm has allocated any; correctness is checked before any
time is taken, and again afterwards, each time on fresh inputs and a poisoned output.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from kernels import algorithm as algorithms
from kernels.algorithm import Algorithm, Plan, UnsupportedError
from kernels.problem import ConvProblem
from workflow import memory, provenance, statistics, timing, verify
from workflow.devices import find_gpus
from workflow.files import write_json
from workflow.lease import lease
from workflow.outcome import empty_rows, result_document

#: The artifact takes the minimum of its runs for its own kernels and direct convolution, the mean for the libraries.
_MINIMUM_FOR_AUTHORS = ("im2win", "direct", "cpu_im2win", "cpu_direct")


class IncorrectError(Exception):
    """The output is not the convolution; the message gives the error."""


def main() -> int:
    """Read {"point", "kernels", "attempt", "output"} from standard input, measure, write the result."""
    job = json.load(sys.stdin)
    point = job["point"]
    cuda = point["device"]["kind"] == "cuda"
    devices = [gpu.uuid for gpu in find_gpus()] if cuda else ["cpu"]
    if not devices:
        raise SystemExit("no NVIDIA GPU was found where this point was to be measured")
    with lease(devices) as device:
        # From here the time limit counts. The alarm ends the process even while it waits for a hung kernel.
        signal.alarm(math.ceil(point["device"]["time_limit_seconds"]))
        if cuda:
            os.environ["CUDA_VISIBLE_DEVICES"] = device
        document = measure(point, Path(job["kernels"]) if job["kernels"] else None, device if cuda else None)
        document["attempt"] = job["attempt"]
        document["run"]["log"] = job["log"]
        write_json(Path(job["output"]), document)
    return 0


def measure(point: dict[str, Any], kernels: Path | None, uuid: str | None) -> dict[str, Any]:
    """The result document of `point` (see workflow.outcome), whatever the outcome. `uuid` names the GPU, if any."""
    rows = empty_rows(point)
    samples: dict[str, list[float]] = {}
    run: dict[str, Any] = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "harness_hash": provenance.harness_hash(),
        "protocols": {},
    }
    status, reason = "ok", ""
    try:
        _measure_into(point, kernels, uuid, rows, samples, run)
    except UnsupportedError as error:
        status, reason = "unsupported", str(error)
    except torch.cuda.OutOfMemoryError as error:
        status, reason = "out_of_memory", _sentence(error)
    except IncorrectError as error:
        status, reason = "incorrect", str(error)
    except Exception as error:
        traceback.print_exc()
        status, reason = "failed", f"{type(error).__name__}: {_sentence(error)}"
    return result_document(point, status, reason, rows, samples, environment(uuid), run)


def _sentence(error: Exception) -> str:
    """The first two sentences of an error: PyTorch's out-of-memory message gives the bytes asked for there."""
    text = " ".join(str(error).split())
    return ". ".join(text.split(". ")[:2])[:300]


def _measure_into(
    point: dict[str, Any],
    kernels: Path | None,
    uuid: str | None,
    rows: list[dict[str, Any]],
    samples: dict[str, list[float]],
    run: dict[str, Any],
) -> None:
    used_before = memory.used_bytes(uuid) if uuid else None
    device = torch.device("cuda", 0) if uuid else torch.device("cpu")
    sizes = {key: value for key, value in point["layer"].items() if key != "name"}
    problem = ConvProblem(batch=point["batch"], **sizes)
    algorithm = _load(point["algorithm"])
    generator = torch.Generator(device)
    run["seed"] = generator.seed()  # drawn from the operating system, recorded so that a run can be repeated

    x = torch.empty(problem.input_shape, device=device)
    f = torch.empty(problem.filter_shape, device=device)
    y = torch.empty(problem.output_shape, device=device)
    verify.refresh(x, f, generator)
    plan = algorithm.plan(problem, device, _library(device, kernels, point), point["numerics"]["tf32"])
    plan.run(x, f, y)
    used = memory.read(device, uuid, used_before)
    workspace = _workspace_bytes(plan, used, problem)

    _check(plan, problem, point["numerics"], generator, x, f, y)
    for row, protocol in zip(rows, point["protocols"], strict=True):
        result = timing.measure(
            _work(algorithm, plan, protocol, x, f, y),
            protocol,
            device,
            _estimator(protocol, point["algorithm"]["name"]),
            lambda: provenance.gpu_state(uuid)["sm_clock_mhz"] if uuid else None,
        )
        samples[protocol["name"]] = result.samples
        run["protocols"][protocol["name"]] = provenance.gpu_state(uuid) if uuid else {}
        row |= _timed(result, problem)
    error = _check(plan, problem, point["numerics"], generator, x, f, y)
    for row in rows:
        row |= {
            "workspace_bytes": workspace,
            "allocator_peak_bytes": used.allocator_peak_bytes,
            "process_peak_bytes": used.process_peak_bytes,
            "error_fro": error.fro,
            "error_max": error.max,
        }
    run["memory_method"] = used.method


def _load(chosen: dict[str, Any]) -> Algorithm:
    return algorithms.load(chosen["name"], chosen["module"], chosen["parameters"])


def _library(device: torch.device, kernels: Path | None, point: dict[str, Any]) -> Any:
    """The compiled programs, where the algorithm launches any; importing them costs time that others need not pay."""
    if device.type != "cuda" or not point["algorithm"]["programs"]:
        return None
    from kernels.launch import KernelLibrary

    return KernelLibrary(device, kernels)


def _workspace_bytes(plan: Plan, used: memory.Memory, problem: ConvProblem) -> int | None:
    """Counted by the plan; where a library allocates its own, the allocator's peak less X, F and Y."""
    if plan.workspace_bytes is not None or used.allocator_peak_bytes is None:
        return plan.workspace_bytes
    return used.allocator_peak_bytes - problem.tensor_bytes


def _check(
    plan: Plan,
    problem: ConvProblem,
    numerics: dict[str, Any],
    generator: torch.Generator,
    x: torch.Tensor,
    f: torch.Tensor,
    y: torch.Tensor,
) -> verify.Error:
    """Run once on fresh inputs. Raises IncorrectError if the output is further from float64 than allowed."""
    verify.refresh(x, f, generator)
    verify.poison(y)
    plan.run(x, f, y)
    error = verify.error(x, f, y, problem.stride)
    if not error.within(numerics["max_error_fro"], numerics["max_error_max"]):
        raise IncorrectError(
            f"error_fro {error.fro:.3g} (allowed {numerics['max_error_fro']:.3g}), "
            f"error_max {error.max:.3g} (allowed {numerics['max_error_max']:.3g})"
        )
    return error


def _work(
    algorithm: Algorithm, plan: Plan, protocol: dict[str, Any], x: torch.Tensor, f: torch.Tensor, y: torch.Tensor
) -> Callable[[], None]:
    """What the protocol times: all of the convolution, or what follows the transform."""
    if protocol["timed"] == "run" and algorithm.is_convolution:
        return lambda: plan.run(x, f, y)
    plan.prepare(x, f)
    return lambda: plan.compute(x, f, y)


def _estimator(protocol: dict[str, Any], name: str) -> Callable[[list[float]], statistics.Estimate]:
    if protocol["statistic"] == "median":
        return statistics.median
    return statistics.minimum if name.startswith(_MINIMUM_FOR_AUTHORS) else statistics.mean


def _timed(result: timing.Timing, problem: ConvProblem) -> dict[str, Any]:
    clocks = result.sm_clocks_mhz
    return {
        "time_ms": result.estimate.value,
        "time_ms_low": result.estimate.low,
        "time_ms_high": result.estimate.high,
        "samples": len(result.samples),
        "stop_reason": result.stop_reason,
        "tflops": problem.flops / (result.estimate.value * 1e9),
        "sm_clock_mhz": statistics.median(clocks).value if clocks else None,
    }


def environment(uuid: str | None) -> dict[str, Any]:
    """The machine, its software and the sources, the same for every point of a run on one device."""
    facts = provenance.gpu_facts(uuid) if uuid else {"name": provenance.cpu_name()}
    return {
        "device": facts | {"kind": "cuda" if uuid else "cpu", "cores": os.cpu_count()},
        "software": provenance.software(),
        "git": provenance.git_state(),
        "host": provenance.host(),
    }


if __name__ == "__main__":
    sys.exit(main())

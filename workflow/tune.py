"""Finds the fastest schedule of the tiled kernels for each problem of a sweep, on the GPU at hand.

    python -m workflow.tune --selection JSON --device SLUG --kernels DIR --output tuning.yaml [--stored FILE]

Each candidate of kernels.tiles.tiled is checked against float64 and timed with a cold L2 on random inputs: im2win
without its transform, which is the same for all; the fused kernel end to end, since not all candidates reorder the
filter. Writes the winners, each with the time that chose it and the time of the rule's choice. `--stored` is the file
of winners so far: those of other problems are kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import yaml

from analysis.table.files import write_atomically
from kernels import algorithm as algorithms
from kernels.launch import KernelLibrary, has_clusters
from kernels.problem import ConvProblem
from kernels.tiles.tiled import FUSED_LOADERS, LOADERS, Schedule, candidates, choose_schedule
from workflow.experiment import catalog
from workflow.experiment.errors import RequestError
from workflow.experiment.sweep import Selection, Sweep
from workflow.experiment.winners import key
from workflow.harness import statistics, verify
from workflow.harness.timing import DeviceClock
from workflow.machine import provenance
from workflow.machine.devices import find_gpus, require_in_use, use
from workflow.machine.lease import lease

_SAMPLES = 9
#: The best of a first round are timed once more, together, so that noise does not choose among them.
_FINALISTS, _FINAL_SAMPLES = 3, 25
_LARGEST_ERROR = 1e-5
_HEADER = """\
# Which tile and schedule of a tiled kernel is the fastest for a problem on this GPU, measured by `make tune`. A problem
# is batch x channels x height x width of the input * channels x height x width of the filter / stride.
"""


class CandidateError(Exception):
    """A candidate computes something else: its kernel is wrong."""


def tune(algorithm: str, module: str, problem: ConvProblem, library: KernelLibrary) -> dict[str, Any]:
    """The fastest schedule of `algorithm` for `problem`, as an entry of the file of winners.

    Raises CandidateError if a candidate's result is wrong, UnsupportedError if the problem cannot be computed.
    """
    device = torch.device("cuda", 0)
    multiprocessors, clusters = torch.cuda.get_device_properties(device).multi_processor_count, has_clusters(device)
    fused = algorithm == "im2win_fused"
    rule = choose_schedule(problem, multiprocessors, fused, clusters)
    loaders = FUSED_LOADERS if fused else LOADERS[:1]
    x, f = torch.empty(problem.input_shape, device=device), torch.empty(problem.filter_shape, device=device)
    y = torch.empty(problem.output_shape, device=device)
    verify.uniform(x, f, torch.Generator(device))
    clock = DeviceClock(device, cold_l2=True)

    def prepared(schedule: Schedule) -> Callable[[], None]:
        plan = algorithms.load(algorithm, module, {"schedule": schedule.to_parameters()}).plan(
            problem, device, library, tf32=False
        )
        if fused:  # reorders the filter or not, which is part of the choice
            return lambda: plan.run(x, f, y)
        plan.prepare(x, f)
        return lambda: plan.compute(x, f, y)

    def median(work: Callable[[], None], samples: int) -> float:
        clock.sample(work)
        return statistics.median([clock.sample(work) for _ in range(samples)]).value

    def check(work: Callable[[], None], schedule: Schedule, images: Iterable[int] | None) -> None:
        verify.poison(y)
        work()
        error = verify.error(x, f, y, problem.stride, images)
        if not error.within(_LARGEST_ERROR, 10 * _LARGEST_ERROR):
            raise CandidateError(f"{algorithm} with {schedule} has errors {error} on {problem}")

    times = {}
    for schedule in dict.fromkeys([rule, *candidates(problem, multiprocessors, loaders, fused and clusters)]):
        work = prepared(schedule)
        check(work, schedule, [problem.batch - 1])
        times[schedule] = median(work, _SAMPLES)
    finalists = sorted(times, key=lambda schedule: times[schedule])[:_FINALISTS]
    for schedule in dict.fromkeys([*finalists, rule]):
        times[schedule] = median(prepared(schedule), _FINAL_SAMPLES)
    best = min(finalists, key=lambda schedule: times[schedule])
    check(prepared(best), best, None)
    return {
        **best.to_parameters(),
        "time_ms": round(times[best], 5),
        "rule_time_ms": round(times[rule], 5),
        "candidates": len(times),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.tune", description=__doc__.splitlines()[0])
    parser.add_argument("--selection", required=True, type=Selection.from_json, help="experiment and axes, as JSON")
    parser.add_argument("--device", required=True, help="slug of the GPU to tune for")
    parser.add_argument("--kernels", required=True, type=Path, help="folder of compiled programs")
    parser.add_argument("--output", required=True, type=Path, help="where the winners go")
    parser.add_argument("--stored", type=Path, help="the winners so far")
    options = parser.parse_args(arguments)
    try:
        sweep = Sweep(catalog.read(), options.selection)
    except RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    stored: dict[str, Any] = {}
    if options.stored and options.stored.exists():
        stored = yaml.safe_load(options.stored.read_text())["winners"]
    with lease([gpu.uuid for gpu in find_gpus() if gpu.slug == options.device]) as uuid:
        use(uuid)
        require_in_use(uuid)
        library = KernelLibrary(torch.device("cuda", 0), options.kernels)
        for (name, problem), module in sweep.tunable().items():
            entry = tune(name, module, problem, library)
            stored.setdefault(name, {})[key(problem)] = entry
            gain = entry["rule_time_ms"] / entry["time_ms"]
            print(f"{name} {key(problem)}: {entry['time_ms']} ms, {gain:.3f} times the rule's speed", flush=True)
            torch.cuda.empty_cache()
        facts = provenance.environment(uuid)
    document = {"gpu": facts["device"]["name"], "software": facts["software"], "winners": stored}
    text = yaml.safe_dump(document, sort_keys=True, default_flow_style=None, width=1000)
    write_atomically(options.output, (_HEADER + text).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

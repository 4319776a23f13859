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
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
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
from workflow.harness import distributions, timing, verify
from workflow.machine import provenance
from workflow.machine.devices import find_gpus
from workflow.machine.lease import leased_gpu

_SAMPLES = 9
#: The best of a first round are timed once more, with more samples, so that noise does not choose among them.
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
    trial = Trial(algorithm, module, problem, device, library)
    times = {}
    for schedule in dict.fromkeys([rule, *candidates(problem, multiprocessors, loaders, fused and clusters)]):
        times[schedule] = trial.time(schedule, check=[problem.batch - 1])
    finalists = sorted(times, key=lambda schedule: times[schedule])[:_FINALISTS]
    for schedule in dict.fromkeys([*finalists, rule]):
        times[schedule] = trial.time(schedule, _FINAL_SAMPLES)
    best = min(finalists, key=lambda schedule: times[schedule])
    trial.check(best)
    return {
        **best.to_parameters(),
        "time_ms": round(times[best], 5),
        "rule_time_ms": round(times[rule], 5),
        "candidates": len(times),
    }


class Trial:
    """One problem on which schedules of an algorithm are tried, with inputs and a clock that all of them share."""

    def __init__(
        self, algorithm: str, module: str, problem: ConvProblem, device: torch.device, library: KernelLibrary
    ) -> None:
        self._algorithm, self._module, self._problem, self._library = algorithm, module, problem, library
        self._x, self._f, self._y = (
            torch.empty(shape, device=device)
            for shape in (problem.input_shape, problem.filter_shape, problem.output_shape)
        )
        distributions.uniform(self._x, self._f, torch.Generator(device))
        self._clock = timing.cold_clock(device)

    def time(self, schedule: Schedule, samples: int = _SAMPLES, check: Iterable[int] = ()) -> float:
        """The median of so many samples in ms; the images `check` of the output are checked before."""
        with self._prepared(schedule) as work:
            if check:
                self._check(work, schedule, check)
            return timing.quick_median(self._clock, work, samples)

    def check(self, schedule: Schedule) -> None:
        """Check every image of the output. Raises CandidateError."""
        with self._prepared(schedule) as work:
            self._check(work, schedule, None)

    @contextmanager
    def _prepared(self, schedule: Schedule) -> Iterator[Callable[[], None]]:
        """What is timed of a schedule."""
        x, f, y = self._x, self._f, self._y
        algorithm = algorithms.load(self._algorithm, self._module, {"schedule": schedule.to_parameters()})
        with closing(algorithm.plan(self._problem, x.device, self._library, tf32=False)) as plan:
            if self._algorithm == "im2win_fused":  # reorders the filter or not, which is part of the choice
                yield partial(plan.run, x, f, y)
            else:
                plan.prepare(x, f)
                yield partial(plan.compute, x, f, y)

    def _check(self, work: Callable[[], None], schedule: Schedule, images: Iterable[int] | None) -> None:
        verify.poison(self._y)
        work()
        error = verify.error(self._problem, self._x, self._f, self._y, images)
        if not error.within(_LARGEST_ERROR, 10 * _LARGEST_ERROR):
            raise CandidateError(f"{self._algorithm} with {schedule} has errors {error} on {self._problem}")


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
    with leased_gpu([gpu.uuid for gpu in find_gpus() if gpu.slug == options.device]) as uuid:
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

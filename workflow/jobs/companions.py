"""The tables beside the results table of a run, and the tuning: what each rests on."""

from __future__ import annotations

import csv
import io

from analysis.table.companions import ACCURACY, NETWORK_COLUMNS, TRANSFORMS
from workflow.experiment.request import Request
from workflow.experiment.sweep import Sweep
from workflow.jobs.kernels import Kernels


class Companion:
    """One table, or the stored winners: a file that rests on the sources of some algorithms of the sweep."""

    def __init__(self, request: Request, kernels: Kernels, name: str, algorithms: list[str]) -> None:
        self._request = request
        self._kernels = kernels
        self._name = name
        self.algorithms = algorithms

    @property
    def files(self) -> list[str]:
        """The file, if the sweep has one of the algorithms."""
        return [f"{self._request.results}/{self._request.device}/{self._name}"] if self.algorithms else []

    @property
    def cubins(self) -> list[str]:
        """The programs that are launched for it."""
        return self._kernels.cubins_of(self.algorithms)

    @property
    def source_hashes(self) -> dict[str, str]:
        """Algorithm -> hash of its sources: the file is made anew when one changes."""
        sweep = self._request.sweep
        return {name: sweep.source_hash(name) for name in self.algorithms} if sweep else {}


def accuracy(request: Request, kernels: Kernels) -> Companion:
    """The table of errors, if a run measures FP32-accurate algorithms."""
    sweep = request.sweep
    compared = sweep.of_class("fp32_accurate") if sweep and sweep.experiment["compare_errors"] else []
    return Companion(request, kernels, ACCURACY, compared)


def transforms(request: Request, kernels: Kernels) -> Companion:
    """The table of the transforms' times, if a run measures the paper's im2win on a GPU."""
    on_gpu = request.sweep if request.backend == "cuda" else None
    return Companion(request, kernels, TRANSFORMS, on_gpu.of_role("paper") if on_gpu else [])


def network_table(sweep: Sweep | None) -> str:
    """The table of the sweep's suites that are networks, as CSV; nothing if none is one.

    It has every layer of a network, also those that are not measured.
    """
    rows = []
    for name in dict.fromkeys(point.suite for point in sweep.points.values()) if sweep else ():
        assert sweep is not None
        suite = sweep.catalog.groups["suite"].get(name, {})
        network = suite.get("network", {})
        told = [network.get("source"), network.get("model"), " and ".join(network.get("inputs", []))]
        source = "; ".join(filter(None, told))
        entries = [(layer, count, sweep.flops(name, layer), "") for layer, count in suite.get("counts", {}).items()]
        entries += [(one["layer"], one["count"], one["flops"], one["reason"]) for one in suite.get("unsupported", [])]
        rows += [(name, *entry, source) for entry in entries]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([NETWORK_COLUMNS, *rows] if rows else [])
    return text.getvalue()


def tuning(request: Request, kernels: Kernels) -> Companion:
    """The fastest schedules of the algorithms that are tuned."""
    tuned = sorted({name for name, _ in request.sweep.tunable()}) if request.sweep else []
    return Companion(request, kernels, "tuning.yaml", tuned)

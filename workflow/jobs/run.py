"""A run: what the Snakefile and its rules need to know of a request."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError

from workflow.experiment.catalog import ROOT
from workflow.experiment.errors import RequestError
from workflow.experiment.request import Request, resolve
from workflow.jobs import companions
from workflow.jobs.datasets import CLAIMS, FIGURES, REPORTS, TABLES, Datasets
from workflow.jobs.kernels import Kernels
from workflow.jobs.measurements import Measurements


class Run:
    """A request, and the files and parameters of its jobs, by stage."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.results = request.results
        self.kernels = Kernels(request)
        self.measurements = Measurements(request, self.kernels)
        self.accuracy = companions.accuracy(request, self.kernels)
        self.transforms = companions.transforms(request, self.kernels)
        self.tuning = companions.tuning(request, self.kernels)
        self.datasets = Datasets(request, self.accuracy.files + self.transforms.files)

    def threads(self, workflow: Any) -> int:
        """The cores of a measuring job. A cluster's file says them; its profile gives Snakemake no number of cores."""
        try:
            return self.measurements.threads(workflow.cores)
        except WorkflowError:
            return self.measurements.threads(None)

    @property
    def cluster(self) -> str:
        """The name of the cluster that measures, or nothing."""
        return str(self.request.cluster["name"]) if self.request.cluster else ""

    @property
    def everything(self) -> list[str]:
        """What `snakemake` without a target makes, apart from the summary."""
        drawn = self.datasets.each(*FIGURES, *TABLES, *CLAIMS, *REPORTS) + self.datasets.compared
        return drawn + self.kernels.resources + self.datasets.companions


def start(config: Mapping[str, Any], is_main_process: bool) -> Run:
    """The run that `--config` asks for; a request that cannot be met ends the program with its message and status 1."""
    try:
        request = resolve(config)
    except RequestError as error:
        sys.exit(f"error: {error}")
    _prepend("PATH", str(Path(sys.executable).parent))  # jobs run this Python
    _prepend("PYTHONPATH", str(ROOT))  # and this repository's packages, whatever --directory says
    if is_main_process:  # and not in the processes that Snakemake starts for single jobs
        if request.note:
            print(request.note, file=sys.stderr)
        if request.gpus and not request.cluster:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.uuid for gpu in request.gpus)
    return Run(request)


def _prepend(variable: str, folder: str) -> None:
    others = [entry for entry in os.environ.get(variable, "").split(os.pathsep) if entry and entry != folder]
    os.environ[variable] = os.pathsep.join([folder, *others])

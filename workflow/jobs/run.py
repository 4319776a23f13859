"""A run: what the Snakefile and its rules need to know of a request."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError

from analysis.table.companions import NETWORKS
from workflow.experiment.catalog import ROOT
from workflow.experiment.errors import RequestError
from workflow.experiment.folders import check_writable
from workflow.experiment.request import Request, resolve
from workflow.experiment.sources import check_programs
from workflow.experiment.typed import as_typed, check_once
from workflow.jobs import companions
from workflow.jobs.datasets import CLAIMS, FIGURES, REPORTS, TABLES, Datasets
from workflow.jobs.kernels import Kernels
from workflow.jobs.measurements import Measurements
from workflow.jobs.models import Models
from workflow.machine.settings import spoiled_by
from workflow.session.slurm import named_executor, require


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
        self.models = Models(request)
        self.networks = companions.network_table(request.sweep)
        beside = [f"{request.results}/{request.device}/{name}" for name in (*self.network_files, *self.models.table)]
        self.datasets = Datasets(request, self.accuracy.files + self.transforms.files + beside)

    def threads(self, workflow: Any, of: Measurements | Models | None = None) -> int:
        """The cores of a measuring job. A cluster's file says them; its profile gives Snakemake no number of cores."""
        try:
            return (of or self.measurements).threads(workflow.cores)
        except WorkflowError:
            return (of or self.measurements).threads(None)

    def missing(self) -> list[Path]:
        """The results that this run is still to write, anchors left out."""
        return self.measurements.missing() + self.models.missing()

    @property
    def network_files(self) -> list[str]:
        """The table of networks, in the device's folder, if the run measures some."""
        return [NETWORKS] if self.networks else []

    @property
    def cluster(self) -> str:
        """The name of the cluster that measures, or nothing."""
        return str(self.request.cluster["name"]) if self.request.cluster else ""

    @property
    def devices(self) -> list[str]:
        """The devices of this host that are measured on, as a lease names them."""
        if not self.request.sweep or self.request.cluster:
            return []
        return [gpu.uuid for gpu in self.request.gpus] or ["cpu"]

    @property
    def everything(self) -> list[str]:
        """What `snakemake` without a target makes, apart from the summary.

        Results too, though tables are made of them: without its own records, as in a copied folder, Snakemake would
        take a table that is there for that of any request.
        """
        drawn = self.datasets.each(*FIGURES, *TABLES, *CLAIMS, *REPORTS) + self.datasets.compared
        return drawn + self.kernels.resources + self.datasets.companions + self.measurements.files + self.models.files

    def check_executor(self, executor: str) -> None:
        """Ends the program with a message where Snakemake's `executor` cannot measure where the request says."""
        if self.request.sweep:
            require(executor, self.cluster, self.request.catalog.names("cluster"))


def start(config: Mapping[str, Any], workflow: Any) -> Run:
    """The run that `--config` asks for, in Snakemake's `workflow`.

    A request that cannot be met ends the program with its message and status 1.
    """
    given = workflow.config_settings
    try:
        if workflow.is_main_process:  # and not one that Snakemake starts for a single job
            check_once(sys.argv[1:])
            check_writable(
                ".snakemake", "Snakemake keeps its records in .snakemake", "run in another folder: --directory DIR"
            )
        request = resolve(as_typed(config, given.config_args or [], given.configfiles))
        made = Run(request)
        check_programs(made.kernels.programs)
    except RequestError as error:
        sys.exit(f"error: {error}")
    _prepend("PATH", str(Path(sys.executable).parent))  # jobs run this Python
    _prepend("PYTHONPATH", str(ROOT))  # and this repository's packages, whatever --directory says
    if workflow.is_main_process:
        if not made.cluster:  # said here, since a dry run ends before `onstart`
            made.check_executor(named_executor())
        if request.note:
            print(request.note, file=sys.stderr)
        if request.gpus and not request.cluster:
            if spoiling := spoiled_by(os.environ):
                print(f"Measuring without {spoiling}.", file=sys.stderr)
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.uuid for gpu in request.gpus)
    return made


def _prepend(variable: str, folder: str) -> None:
    others = [entry for entry in os.environ.get(variable, "").split(os.pathsep) if entry and entry != folder]
    os.environ[variable] = os.pathsep.join([folder, *others])

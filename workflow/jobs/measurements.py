"""The measuring jobs of a run: the points of each, what it asks for, and the files that tell that it is done."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from workflow.experiment.clusters import gpu_request
from workflow.experiment.errors import ResultError
from workflow.experiment.request import Request
from workflow.experiment.sweep import Sweep
from workflow.jobs.groups import Groups, points_per_job
from workflow.jobs.kernels import Kernels

#: Measuring processes on one host: about so many, and as many more for each GPU. A process measures for a second or so,
#: and takes ten to get ready where many do; but each holds a Python with PyTorch in memory.
_PROCESSES = 10
#: What a job may take where no cluster says.
_MINUTES_PER_POINT, _MEMORY_MB = 10, 8000


class Measurements:
    """The jobs that measure the points of a request, and those that measure its anchors."""

    def __init__(self, request: Request, kernels: Kernels) -> None:
        self._request = request
        self._kernels = kernels

    @property
    def folder(self) -> str:
        """The device's folder of results."""
        return f"{self._request.results}/{self._request.device}"

    @property
    def selection(self) -> str:
        """The sweep's selection as JSON, for programs that expand it again; nothing if nothing is measured."""
        sweep = self._request.sweep
        return sweep.selection.to_json() if sweep else ""

    @property
    def points_per_job(self) -> int:
        """How many points make one job."""
        cluster, sweep = self._request.cluster, self._request.sweep
        if cluster:
            return max(1, int(cluster["seconds_per_job"] / cluster["seconds_per_point"]))
        return points_per_job(len(sweep.points), self._request.backend) if sweep else 1

    @cached_property
    def groups(self) -> Groups | None:
        """The groups of points, a job each, if this run measures."""
        sweep = self._request.sweep
        folder = Path(self.folder, "points", self._request.experiment)
        return Groups(sweep, folder, self.points_per_job) if sweep else None

    @cached_property
    def files(self) -> list[str]:
        """The files that tell that every point is measured."""
        if not self.groups:
            return []
        return [str(file) for name in self.groups.members for file in self.groups.files(name)]

    def missing(self) -> list[Path]:
        """The results that this run is still to write, anchors left out."""
        return self.groups.missing() if self.groups else []

    def cubins(self, group: str) -> list[str]:
        """The compiled programs that a group of points launches."""
        if not self.groups:
            raise ResultError("this run measures nothing; leave out archive=")
        return self._kernels.cubins_of(point.algorithm for point in self.groups.find(group))

    def size(self, group: str) -> int:
        """How many points a job measures."""
        return len(self.groups.find(group)) if self.groups else 0

    @cached_property
    def _parts(self) -> list[tuple[str, int]]:
        """The suites and batches of the sweep, in the order in which they are measured."""
        sweep = self._request.sweep
        return list(dict.fromkeys((point.suite, point.batch) for point in sweep.points.values())) if sweep else []

    def priority(self, group: str) -> float:
        """Above 0, and lower for every further batch or suite: a run that is stopped has whole ones."""
        if not self.groups:
            return 1
        first = self.groups.find(group)[0]
        return 1 - self._parts.index((first.suite, first.batch)) / len(self._parts)

    # Anchors

    @cached_property
    def anchors(self) -> dict[str, Groups]:
        """The points that every GPU of this host measures, one group for each GPU (UUID), if it has several."""
        sweep = self._anchor_sweep
        if sweep is None:
            return {}
        folders = {gpu.uuid: Path(self.folder, "gpus", gpu.uuid, "points") for gpu in self._request.gpus}
        return {
            uuid: Groups(sweep, folder / self._request.experiment, len(sweep.points))
            for uuid, folder in folders.items()
        }

    @cached_property
    def _anchor_sweep(self) -> Sweep | None:
        several = len(self._request.gpus) > 1
        return self._request.sweep.anchors() if self._request.sweep and several else None

    @property
    def anchor_selection(self) -> str:
        """The selection of the anchors as JSON, if there are any."""
        return self._anchor_sweep.selection.to_json() if self._anchor_sweep else ""

    @cached_property
    def anchor_files(self) -> list[str]:
        """The files that tell that every GPU has measured the anchors."""
        return [str(file) for one in self.anchors.values() for name in one.members for file in one.files(name)]

    def anchor_cubins(self, gpu: str, group: str) -> list[str]:
        """The compiled programs that the anchors launch."""
        if gpu not in self.anchors:
            raise ResultError(f"{gpu} is no GPU whose anchors this run measures")
        return self._kernels.cubins_of(point.algorithm for point in self.anchors[gpu].find(group))

    # What a job asks for

    def threads(self, cores: int | None) -> int:
        """The cores of a job. On one host the jobs of several GPUs get ready beside each other; the CPU's needs all."""
        cluster = self._request.cluster
        if cluster:
            return int(cluster["cores_per_job"])
        if self._request.backend == "cpu":
            return max(1, cores or 1)
        return max(1, round((cores or 1) / (_PROCESSES * (1 + len(self._request.gpus)))))

    @property
    def at_once(self) -> int:
        """How many processes of one job take turns on its GPU, one measuring while the others get ready.

        On one host the processes of several jobs do, and on the CPU none: getting ready would disturb a measurement.
        """
        cluster = self._request.cluster
        return int(cluster["cores_per_job"]) if cluster and self._request.backend == "cuda" else 1

    def minutes(self, group: str) -> int:
        """How long a job may take."""
        cluster: Mapping[str, Any] = self._request.cluster or {"minutes_per_point": _MINUTES_PER_POINT}
        return int(cluster["minutes_per_point"]) * self.size(group)

    @property
    def resources(self) -> dict[str, int | str]:
        """What every job on the device asks for; on a cluster in the terms of Snakemake's Slurm plugin."""
        cluster = self._request.cluster
        if cluster is None:
            return {"mem_mb": _MEMORY_MB, "gpu": len(self._request.gpus[:1])}
        asked: dict[str, int | str] = {"mem_mb": cluster["memory_mb_per_core"] * self.at_once}
        model = self._request.gpu_model
        chosen = cluster["gpus"][model] if model else cluster
        names = {"slurm_partition": "partition", "slurm_account": "account", "qos": "qos", "constraint": "constraint"}
        asked |= {resource: chosen[key] for resource, key in names.items() if chosen[key]}
        gpu = gpu_request(chosen, cluster["gpu_option"]) if model else {}
        options = " ".join(filter(None, [str(gpu.pop("slurm_extra", "")), chosen["options"]]))
        return asked | gpu | ({"slurm_extra": options} if options else {})

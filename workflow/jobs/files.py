"""What the rules need to know of a plan: which files there are, and the parameters of each job."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from kernels.build.sources import program_files, source_hash
from kernels.build.sources import programs as all_programs
from workflow.experiment.errors import RequestError, ResultError
from workflow.experiment.points import Point
from workflow.experiment.request import COMPARISON, ROOT, Plan, plan
from workflow.jobs.groups import Groups
from workflow.machine.provenance import harness_hash

#: The files of one results table, as `analysis.table.archive` writes them.
TABLE_FILES = ("measurements.csv", "samples.csv.gz", "provenance.json")
#: Errors of the FP32-accurate algorithms over several kinds of data, beside the results table.
ACCURACY = "accuracy.csv"
#: Times of the transforms alone, beside it too.
TRANSFORMS = "transform.csv"
#: The algorithm whose transform that is.
TRANSFORMED = "im2win"
#: What lies beside a results table.
BESIDE = (ACCURACY, TRANSFORMS)
#: What is drawn and written of each results table, below the dataset's folder.
PAPER_FIGURES = {"tflops": "speed per layer", "memory": "memory per layer", "ablation": "ablation"}
#: Name -> what Snakemake's report calls it; each has a caption in workflow/report.
FIGURE_LABELS = PAPER_FIGURES | {
    "speedup": "speedup over the best cuDNN",
    "time": "time with its interval",
    "transform": "share of the transform",
    "memory_speed": "memory against speed",
    "accuracy": "accuracy against speed",
    "error_growth": "error against the length of the reduction",
    "roofline": "roofline",
    "batch": "speed against batch",
}
FIGURES = (
    *(
        f"figures/{name}.{suffix}"
        for name in (*FIGURE_LABELS, *(f"one_column/{one}" for one in PAPER_FIGURES))
        for suffix in ("pdf", "svg", "png")
    ),
    "figures/captions.json",
)
TABLES = tuple(
    f"tables/{name}.{suffix}"
    for suffix in ("csv", "md", "tex")
    for name in ("tflops", "memory", "ablation", "best_cudnn", "layers", "outcome", "machine", "claims")
)
CLAIMS = ("claims.csv", "claims.md")
#: Endings of the files that decide what a package's programs write.
CODE = (".py", ".mplstyle", ".csv", ".j2", ".css", ".js")
REPORTS = ("report.md", "report.html", "guide.md")
#: What is written of several archives side by side, below their own folder.
COMPARED = (
    *(f"figures/{name}.{suffix}" for name in ("tflops", "speedup") for suffix in ("pdf", "svg", "png")),
    "figures/captions.json",
    *(f"tables/comparison.{suffix}" for suffix in ("csv", "md", "tex")),
    *(f"tables/{name}.{suffix}" for name in ("claims", "points") for suffix in ("csv", "md")),
    "report.md",
    "report.html",
)
#: About as many measuring processes as this run on one host, and as many for each of its GPUs: a turn takes a second or
#: so, and getting ready for it ten where many do; but each process holds a Python with PyTorch in memory.
WAITING = 10


class Jobs:
    """The files and parameters of a plan's jobs."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.results = plan.results

    @cached_property
    def groups(self) -> Groups | None:
        """The groups of points that this run's jobs measure, if it measures."""
        sweep = self.plan.sweep
        return Groups(sweep, Path(self.point_folder), self.points_per_job) if sweep else None

    @property
    def points_per_job(self) -> int:
        """How many points make one job."""
        return self.plan.points_per_job

    @cached_property
    def anchors(self) -> dict[str, Groups]:
        """The points that every GPU measures, one group for each GPU (UUID), where this host has several."""
        sweep = self.plan.sweep.anchors() if self.plan.sweep and len(self.plan.gpus) > 1 else None
        if sweep is None:
            return {}
        folders = {gpu.uuid: Path(self.results, self.plan.device, "gpus", gpu.uuid) for gpu in self.plan.gpus}
        points = {uuid: folder / "points" / self.plan.experiment for uuid, folder in folders.items()}
        return {uuid: Groups(sweep, folder, len(sweep.points)) for uuid, folder in points.items()}

    @property
    def anchor_selection(self) -> str:
        """The selection of the anchors, if there are any."""
        return next((groups.sweep.selection.to_json() for groups in self.anchors.values()), "")

    @cached_property
    def anchored(self) -> list[str]:
        """The files that tell that every GPU has measured the anchors."""
        return [str(file) for one in self.anchors.values() for name in one.members for file in one.files(name)]

    def anchor_cubins(self, gpu: str, group: str) -> list[str]:
        """The compiled programs that the anchors launch."""
        if gpu not in self.anchors:
            raise ResultError(f"{gpu} is no GPU whose anchors this run measures")
        return self._cubins(self.anchors[gpu].find(group))

    @cached_property
    def measured(self) -> list[str]:
        """The files that tell that every point is measured."""
        if not self.groups:
            return []
        return [str(file) for name in self.groups.members for file in self.groups.files(name)]

    def cubins(self, group: str) -> list[str]:
        """The compiled programs that a group of points launches."""
        return self._cubins(self._points(group))

    def _cubins(self, points: Sequence[Point]) -> list[str]:
        return self._cubins_of(sorted({point.algorithm for point in points}))

    def _cubins_of(self, algorithms: Iterable[str]) -> list[str]:
        entries = [self.plan.catalog.get("algorithm", name) for name in algorithms]
        programs = dict.fromkeys(program for entry in entries for program in entry["programs"])
        return [f"{self.kernel_folder}/{program}.cubin" for program in programs]

    @property
    def point_folder(self) -> str:
        """Where the results of this run's points lie."""
        return f"{self.results}/{self.plan.device}/points/{self.plan.experiment}"

    @property
    def tables(self) -> dict[str, str]:
        """Dataset (a folder below the results) -> folder of its results table: this run's own, then the archives."""
        own = {self.plan.device: f"{self.results}/{self.plan.device}"} if self.plan.sweep else {}
        return own | {f"archive/{name}": folder for name, folder in self.plan.archives.items()}

    def table_files(self, dataset: str) -> list[str]:
        """The files of a dataset's results table."""
        return [f"{self.tables[dataset]}/{name}" for name in TABLE_FILES]

    def beside_files(self, dataset: str) -> list[str]:
        """The tables beside a dataset's results table that it has or gets."""
        if dataset == self.plan.device:
            return self.beside
        archived = [Path(self.tables[dataset], name) for name in BESIDE]
        return [str(path) for path in archived if path.is_file()]

    @property
    def own_table_files(self) -> list[str]:
        """The files of the results table that this run measures, if it measures."""
        return self.table_files(self.plan.device) if self.plan.sweep else []

    def of_datasets(self, *names: str) -> list[str]:
        """These files of every dataset."""
        return [f"{self.results}/{dataset}/{name}" for dataset in self.tables for name in names]

    @property
    def comparison(self) -> str:
        """The folder of what compares several archives."""
        return f"{self.results}/archive/{COMPARISON}"

    @property
    def compared(self) -> list[str]:
        """What compares the archives, in a run that only redraws archives and has more than one."""
        if self.plan.sweep or len(self.plan.archives) < 2:
            return []
        return [f"{self.comparison}/{name}" for name in COMPARED]

    @property
    def kernel_reports(self) -> list[str]:
        """The reports of the kernels that this run compiles."""
        folder = f"{self.results}/kernels"
        return [f"{folder}/{arch}/{name}.json" for name in self.plan.programs for arch in self.plan.architectures]

    @property
    def all_cubins(self) -> list[str]:
        """Every CUDA program, for the architectures of this run."""
        folder = f"{self.results}/kernels"
        return [f"{folder}/{arch}/{name}.cubin" for name in all_programs() for arch in self.plan.architectures]

    @property
    def kernel_folder(self) -> str:
        """Where the measured kernels are; on the CPU there are none, and the folder need not exist."""
        architecture = self.plan.gpus[0].architecture if self.plan.gpus else "none"
        return f"{self.results}/kernels/{architecture}"

    @property
    def ceiling_cubins(self) -> list[str]:
        """What measuring the ceilings launches."""
        return [f"{self.kernel_folder}/ceilings.cubin"] if self.plan.backend == "cuda" else []

    @property
    def ceilings_hash(self) -> str:
        """Hash of what measures the ceilings."""
        return source_hash("workflow.ceilings", ["ceilings"])

    @property
    def _tuned(self) -> list[str]:
        """The algorithms that are tuned."""
        return sorted({name for name, _ in self.plan.sweep.tunable()}) if self.plan.sweep else []

    @property
    def tuned_cubins(self) -> list[str]:
        """What tuning launches."""
        return self._cubins_of(self._tuned)

    @property
    def tuning_hashes(self) -> dict[str, str]:
        """Hashes of what is tuned: winners are found anew when a kernel changes."""
        return {name: self.plan.sweep.source_hash(name) for name in self._tuned} if self.plan.sweep else {}

    @property
    def everything(self) -> list[str]:
        """What `snakemake` without a target makes, apart from the summary."""
        resources = [f"{self.results}/kernels/resources.csv"] if self.kernel_reports else []
        return self.of_datasets(*FIGURES, *TABLES, *CLAIMS, *REPORTS) + self.compared + resources + self.beside

    @property
    def accuracy(self) -> list[str]:
        """The table of errors over several kinds of data, where a run measures FP32-accurate algorithms."""
        return [f"{self.results}/{self.plan.device}/{ACCURACY}"] if self.accurate else []

    @property
    def transforms(self) -> list[str]:
        """The table of the transforms' times, where a run measures an algorithm that has one."""
        points = self.plan.sweep.points.values() if self.plan.sweep else []
        transformed = any(point.algorithm == TRANSFORMED for point in points)
        return [f"{self.results}/{self.plan.device}/{TRANSFORMS}"] if transformed else []

    @property
    def transform_cubins(self) -> list[str]:
        """The programs that are launched for that table."""
        return self._cubins_of([TRANSFORMED] if self.transforms else [])

    @property
    def transform_hash(self) -> str:
        """Hash of what that table says of: it is measured anew when it changes."""
        return self.plan.sweep.source_hash(TRANSFORMED) if self.plan.sweep else ""

    @property
    def beside(self) -> list[str]:
        """All tables beside this run's results table."""
        return self.accuracy + self.transforms

    @property
    def accurate(self) -> list[str]:
        """The FP32-accurate algorithms of this run."""
        points = self.plan.sweep.points.values() if self.plan.sweep else []
        return list(dict.fromkeys(point.algorithm for point in points if point.numerics == "fp32_accurate"))

    @property
    def accuracy_cubins(self) -> list[str]:
        """The programs of the algorithms in that table."""
        return self._cubins_of(self.accurate)

    @property
    def selection(self) -> str:
        """The plan's selection, for programs that expand it again."""
        return self.plan.sweep.selection.to_json() if self.plan.sweep else ""

    @cached_property
    def sources(self) -> str:
        """The hashes of today's sources, as JSON."""
        hashes = {"algorithms": self.plan.source_hashes(), "harness": harness_hash()}
        return json.dumps(hashes, indent=1, sort_keys=True)

    def measure_threads(self, cores: int | None) -> int:
        """The cores of a job. On one host a GPU's needs one, and takes turns with the others; the CPU's needs all."""
        if self.plan.cluster:
            return int(self.plan.cluster["cores_per_job"])
        if self.plan.backend == "cpu":
            return max(1, cores or 1)
        return max(1, round((cores or 1) / (WAITING * (1 + len(self.plan.gpus)))))

    @property
    def at_once(self) -> int:
        """How many processes of one job take turns on its GPU, one measuring while the others get ready.

        On one host those of several jobs do, and on the CPU none, since getting ready would disturb a measurement.
        """
        return int(self.plan.cluster["cores_per_job"]) if self.plan.cluster and self.plan.backend == "cuda" else 1

    def size(self, group: str) -> int:
        """How many points a job measures."""
        return len(self._points(group))

    def minutes(self, group: str) -> int:
        """How long a job may take; on one host there is no limit but each point's own."""
        return (self.plan.cluster or {"minutes_per_point": 10})["minutes_per_point"] * self.size(group)

    @property
    def measure_resources(self) -> dict[str, int | str]:
        """What every job asks for; on a cluster in the terms of Snakemake's Slurm plugin."""
        cluster = self.plan.cluster
        if cluster is None:
            return {"mem_mb": 8000, "gpu": len(self.plan.gpus[:1])}
        asked: dict[str, int | str] = {"mem_mb": cluster["memory_mb_per_core"] * self.at_once}
        # With a model, the plugin asks for one GPU.
        names = {
            "slurm_partition": cluster["partition"],
            "slurm_account": cluster["account"],
            "gpu_model": self.plan.gpu_model,
        }
        return asked | {key: name for key, name in names.items() if name}

    @staticmethod
    def program_sources(program: str) -> list[str]:
        """The source files of a CUDA program."""
        return [os.path.relpath(path) for path in program_files(program)]

    @staticmethod
    def program_hash(program: str) -> str:
        """Hash of a CUDA program, and of how it is compiled and launched."""
        return source_hash("kernels.launch", [program])

    @staticmethod
    def code(package: str) -> list[str]:
        """The files of a package that decide what its programs write."""
        files = [path for path in (ROOT / package).rglob("*") if path.suffix in CODE]
        return sorted(os.path.relpath(path) for path in files if "archive" not in path.parts)

    def _points(self, group: str) -> list[Point]:
        if not self.groups:
            raise ResultError("this run measures nothing; leave out archive=")
        return self.groups.find(group)


def start(config: Mapping[str, Any], is_main_process: bool) -> Jobs:
    """The jobs of a run; a request that cannot be met ends the program with its message and exit status 1."""
    try:
        resolved = plan(config)
    except RequestError as error:
        sys.exit(f"error: {error}")
    _prepend("PATH", str(Path(sys.executable).parent))  # jobs run this Python
    _prepend("PYTHONPATH", str(ROOT))  # and this repository's packages, whatever --directory says
    if is_main_process:  # and not in the processes that Snakemake starts for single jobs
        if resolved.note:
            print(resolved.note, file=sys.stderr)
        if resolved.gpus and not resolved.cluster:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.uuid for gpu in resolved.gpus)
    return Jobs(resolved)


def _prepend(variable: str, folder: str) -> None:
    others = [entry for entry in os.environ.get(variable, "").split(os.pathsep) if entry and entry != folder]
    os.environ[variable] = os.pathsep.join([folder, *others])

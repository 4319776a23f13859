"""What the rules need to know of a plan: which files there are, and the parameters of each job."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from kernels.sources import program_files, source_hash
from kernels.sources import programs as all_programs
from workflow.config import COMPARISON, ROOT, Plan, plan
from workflow.errors import RequestError, ResultError
from workflow.provenance import harness_hash
from workflow.results import next_attempt, read_result

#: The files of one results table, as `analysis.table` writes them.
TABLE_FILES = ("measurements.csv", "samples.csv.gz", "provenance.json")
#: What is drawn and written of each results table, below the dataset's folder.
PAPER_FIGURES = {"tflops": "speed per layer", "memory": "memory per layer", "ablation": "ablation"}
#: Name -> what Snakemake's report calls it; each has a caption in workflow/report.
FIGURE_LABELS = PAPER_FIGURES | {
    "speedup": "speedup over the best cuDNN",
    "time": "time with its interval",
    "transform": "share of the transform",
    "memory_speed": "memory against speed",
    "accuracy": "accuracy against speed",
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
)
#: No more measuring processes than this wait for their turn on a GPU: each holds a Python with PyTorch in memory.
WAITING = 16


@dataclass(frozen=True)
class MeasureJob:
    """The parameters of one measurement; if one of them changes, it is measured again."""

    cubins: list[str]
    point: str
    source_hash: str
    attempt: int


class Jobs:
    """The files and parameters of a plan's jobs."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.results = plan.results
        self.measure = cache(self._measure)
        self.source_hash = cache(self._source_hash)

    @property
    def point_results(self) -> list[str]:
        """The result file of every point."""
        if not self.plan.sweep:
            return []
        return [f"{self.point_folder}/{path}/result.json" for path in self.plan.sweep.points]

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
    def everything(self) -> list[str]:
        """What `snakemake` without a target makes, apart from the summary."""
        resources = [f"{self.results}/kernels/resources.csv"] if self.kernel_reports else []
        return self.of_datasets(*FIGURES, *TABLES, *CLAIMS, *REPORTS) + self.compared + resources

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
        """A measurement on the CPU has all cores; on a GPU it needs one, and takes turns with the others.

        In a job of a cluster points are measured one after the other, so each has the cores of the job.
        """
        alone = self.plan.backend == "cpu" or self.plan.cluster
        return max(1, cores or 1) if alone else max(1, (cores or 1) // WAITING)

    @property
    def measure_resources(self) -> dict[str, int | str]:
        """What a measurement asks for; on a cluster in the terms of Snakemake's Slurm plugin."""
        cluster = self.plan.cluster
        if cluster is None:
            return {"mem_mb": 8000, "runtime": 10, "gpu": len(self.plan.gpus[:1])}
        asked: dict[str, int | str] = {
            "mem_mb": cluster["memory_mb_per_point"],
            "runtime": cluster["minutes_per_point"],
        }
        # Names, unlike numbers, are not summed over the points of a job: each job asks for one GPU, on which its points
        # take turns. A number of GPUs (`gpu`) would be.
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

    def _source_hash(self, algorithm: str) -> str:
        entry = self.plan.catalog.get("algorithm", algorithm)
        return source_hash(entry["module"], entry["programs"])

    def _measure(self, path: str) -> MeasureJob:
        # Called (through a cache) when the inputs of the job are determined, because Snakemake deletes the result, on
        # which the number of the attempt depends, before it asks for the parameters of a job in another process.
        sweep = self.plan.sweep
        assert sweep is not None
        if path not in sweep.points:
            raise ResultError(f"{path} is not a point of this run; name it by --config suite=, layer=, algorithm=...")
        point = sweep.points[path]
        stored = read_result(Path(self.point_folder, path, "result.json"))
        programs = self.plan.catalog.get("algorithm", point.algorithm)["programs"]
        return MeasureJob(
            [f"{self.kernel_folder}/{program}.cubin" for program in programs],
            json.dumps(sweep.resolve(point, (stored or {}).get("point")), sort_keys=True, separators=(",", ":")),
            self.source_hash(point.algorithm),
            next_attempt(stored),
        )


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

"""What is drawn and written of results tables: this run's own and each archive's."""

from __future__ import annotations

from pathlib import Path

from analysis.table.companions import COMPANIONS, MODELS, NETWORKS
from analysis.table.schema import TABLE_FILES
from workflow.experiment.archives import COMPARISON
from workflow.experiment.request import Request

_FORMATS = ("pdf", "svg", "png")
#: What is drawn and written of each results table, below the dataset's folder.
PAPER_FIGURES = {"tflops": "speed per layer", "memory": "memory per layer", "ablation": "ablation"}
#: Name -> what Snakemake's report calls it; each has a caption in workflow/report.
FIGURE_LABELS = {
    "overview": "cuDNN, the paper's kernel and ours at a glance",
    **PAPER_FIGURES,
    "speedup": "speedup over the best cuDNN",
    "time": "time with its interval",
    "transform": "share of the transform",
    "memory_speed": "memory against speed",
    "accuracy": "accuracy against speed",
    "error_growth": "error against the length of the reduction",
    "roofline": "roofline",
    "batch": "speed against batch",
    "networks": "speed of all convolutions of networks",
    "network_time": "where a network's time goes",
    "models": "speed of whole networks, launches included",
}
FIGURES = (
    *(
        f"figures/{name}.{suffix}"
        for name in (*FIGURE_LABELS, "overview_dark", *(f"one_column/{one}" for one in PAPER_FIGURES))
        for suffix in _FORMATS
    ),
    "figures/captions.json",
)
TABLES = tuple(
    f"tables/{name}.{suffix}"
    for suffix in ("csv", "md", "tex")
    for name in (
        *("tflops", "memory", "ablation", "best_cudnn", "layers"),
        *("networks", "network_layers", "models", "outcome", "machine", "claims"),
    )
)
CLAIMS = ("claims.csv", "claims.md")
REPORTS = ("report.md", "report.html", "guide.md")
#: What is written of several archives side by side, below their own folder.
COMPARED = (
    *(f"figures/{name}.{suffix}" for name in ("tflops", "speedup") for suffix in _FORMATS),
    "figures/captions.json",
    *(f"tables/comparison.{suffix}" for suffix in ("csv", "md", "tex")),
    *(f"tables/{name}.{suffix}" for name in ("claims", "points") for suffix in ("csv", "md")),
    "report.md",
    "report.html",
)


class Datasets:
    """The results tables of a run. A dataset is the name of a folder below the results."""

    def __init__(self, request: Request, companions: list[str]) -> None:
        """`companions` are the tables beside its own results table that this run measures."""
        self._request = request
        self.companions = companions

    @property
    def folders(self) -> dict[str, str]:
        """Dataset -> folder of its results table: this run's own, then the archives."""
        request = self._request
        own = {request.device: f"{request.results}/{request.device}"} if request.sweep else {}
        return own | {f"archive/{name}": folder for name, folder in request.archives.items()}

    def files(self, dataset: str) -> list[str]:
        """The files of a dataset's results table."""
        return [f"{self.folders[dataset]}/{name}" for name in TABLE_FILES]

    @property
    def all_files(self) -> list[str]:
        """The files of every results table."""
        return [file for dataset in self.folders for file in self.files(dataset)]

    @property
    def own_files(self) -> list[str]:
        """The files of the results table that this run measures, if it measures."""
        return self.files(self._request.device) if self._request.sweep else []

    def companion_files(self, dataset: str) -> list[str]:
        """The tables beside a dataset's results table that it has, or that this run measures."""
        if dataset == self._request.device:
            return self.companions
        archived = [Path(self.folders[dataset], name) for name in COMPANIONS]
        return [str(path) for path in archived if path.is_file()]

    def network_files(self, dataset: str) -> list[str]:
        """The networks.csv and models.csv of a dataset, if it has them or this run writes them."""
        return [name for name in self.companion_files(dataset) if Path(name).name in (NETWORKS, MODELS)]

    def each(self, *names: str) -> list[str]:
        """These files of every dataset."""
        return [f"{self._request.results}/{dataset}/{name}" for dataset in self.folders for name in names]

    @property
    def comparison(self) -> str:
        """The folder of what compares several archives."""
        return f"{self._request.results}/archive/{COMPARISON}"

    @property
    def compared(self) -> list[str]:
        """What compares the archives, in a run that only redraws archives and has more than one."""
        if self._request.sweep or len(self._request.archives) < 2:
            return []
        return [f"{self.comparison}/{name}" for name in COMPARED]

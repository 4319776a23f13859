"""What a run is: the keys of `snakemake --config`, checked and resolved before any job.

Imports neither PyTorch nor CUDA.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernels.build.sources import programs as all_programs
from kernels.build.sources import source_hash
from workflow.experiment import catalog as conf
from workflow.experiment.catalog import Catalog
from workflow.experiment.errors import (
    BackendError,
    BadArchiveError,
    BadValueError,
    GpuError,
    UnknownKeyError,
    UnknownNameError,
    unknown,
)
from workflow.experiment.points import AXES, positive
from workflow.experiment.sweep import Selection, Sweep
from workflow.jobs.groups import points_per_job
from workflow.machine.devices import DeviceError, Gpu, find_gpus, select_gpus, why_none

ROOT = Path(__file__).resolve().parents[2]
ARCHIVES = ROOT / "analysis" / "archive"
#: The folder below `results/archive/` that compares archives; no archive can have this name.
COMPARISON = "comparison"
KEYS = ("experiment", *AXES, "gpu", "gpus", "cluster", "gpu_model", "results", "archive", "container")

#: cp.async came with it.
OLDEST_ARCHITECTURE = 80
NO_GPU = "No NVIDIA GPU was found"


@dataclass(frozen=True)
class Plan:
    """A resolved run. Without a sweep it only redraws archives."""

    results: str
    catalog: Catalog
    sweep: Sweep | None = None
    gpus: tuple[Gpu, ...] = ()
    #: The cluster that measures, an entry of conf/cluster, and Slurm's name of the GPU to ask it for; else nothing.
    cluster: Mapping[str, Any] | None = None
    gpu_model: str = ""
    #: Name below `results/archive/` -> folder of the archive.
    archives: dict[str, str] = field(default_factory=dict)
    #: The image in which jobs run with `--sdm apptainer`, or nothing.
    container: str = ""
    #: A line for the user, or nothing.
    note: str = ""

    @property
    def backend(self) -> str:
        """cuda or cpu; nothing where nothing is measured."""
        return str(self.sweep.device["kind"]) if self.sweep else ""

    @property
    def experiment(self) -> str:
        """The experiment's name; nothing where nothing is measured."""
        return str(self.sweep.experiment["name"]) if self.sweep else ""

    @property
    def device(self) -> str:
        """The folder of the results: the GPU's slug, or cpu."""
        return self.gpus[0].slug if self.gpus else self.backend

    @property
    def points_per_job(self) -> int:
        """How many points make one job."""
        if self.cluster:
            return max(1, int(self.cluster["seconds_per_job"] / self.cluster["seconds_per_point"]))
        return points_per_job(len(self.sweep.points), self.backend) if self.sweep else 1

    @property
    def architectures(self) -> list[str]:
        """What CUDA programs are compiled for: the experiment's list, or the GPU at hand."""
        listed = list(self.sweep.experiment["architectures"]) if self.sweep else []
        return listed or sorted({gpu.architecture for gpu in self.gpus})

    @property
    def programs(self) -> list[str]:
        """The CUDA programs to compile: all where the experiment lists architectures, else those to measure."""
        if not self.sweep or self.sweep.experiment["architectures"]:
            return all_programs() if self.sweep else []
        entries = (self.catalog.get("algorithm", point.algorithm) for point in self.sweep.points.values())
        used = {program for entry in entries for program in entry["programs"]}
        return [program for program in all_programs() if program in used]

    def source_hashes(self) -> dict[str, str]:
        """Algorithm -> hash of its sources as they are now."""
        entries = self.catalog.groups["algorithm"].items()
        return {name: source_hash(entry["module"], entry["programs"]) for name, entry in entries}


def plan(
    config: Mapping[str, Any],
    gpus: Callable[[], Sequence[Gpu]] = find_gpus,
    archives: Path = ARCHIVES,
    known: Catalog | None = None,
) -> Plan:
    """Resolve the keys of `--config`, with `known` in place of conf/ if it has been read.

    Raises RequestError, whose message is for the user.
    """
    for key in config:
        if key not in KEYS:
            raise UnknownKeyError(unknown("key", key, KEYS, " in --config"))
    values = {key: tokens(key, value) for key, value in config.items()}
    results = os.path.normpath(_single(values, "results", "results"))
    if not set(results).isdisjoint("{}"):
        raise BadValueError(f"results is {results}; the name of that folder must not hold braces")
    image = _image(_single(values, "container", ""))
    catalog = known or conf.read()
    if "archive" in values:
        others = [key for key in values if key not in ("archive", "results", "container")]
        if others:
            raise BadValueError(
                f"archive= only draws what was measured before; {others[0]}= cannot go with it, leave out one of them"
            )
        found = find_archives(values["archive"], archives, with_samples=True)
        return Plan(results, catalog, archives=found, container=image)
    name = _single(values, "experiment", "auto")
    note = ""
    cluster, gpu_model = _cluster(values, catalog)
    fallback = name == "auto" and not cluster and not gpus()
    if name == "auto":
        name = "paper_cpu" if fallback else "paper"
    elif name not in catalog.groups["experiment"]:
        raise UnknownNameError(unknown("experiment", name, ["auto", *catalog.names("experiment")]))
    try:
        sweep = Sweep(catalog, Selection(name, {axis: values[axis] for axis in AXES if axis in values}))
    except BackendError as error:
        raise BackendError(f"{error}\n({NO_GPU}.)" if fallback else str(error)) from None
    if fallback:
        batches = ", ".join(str(batch) for batch in sorted({point.batch for point in sweep.points.values()}))
        instead = f"measuring the CPU backend at batch {batches}, and drawing archived GPU measurements too."
        note = f"{NO_GPU}{_because()}: {instead}"
    chosen: tuple[Gpu, ...] = ()
    if cluster and sweep.device["kind"] == "cuda":
        model = cluster["gpus"][gpu_model]
        chosen = (Gpu(0, "", model["device"], model["architecture"]),)
        note = f"Planning for {model['device']} of cluster {cluster['name']}."
    elif sweep.device["kind"] == "cuda":
        chosen, note = choose_gpus(values.get("gpu"), gpus(), name)
        if "gpus" in values:
            chosen = first_gpus(_single(values, "gpus", ""), chosen, "gpu" in values)
    elif "gpus" in values:
        raise GpuError(f"gpus= does not go with experiment {name}, which measures on the CPU")
    elif "gpu" in values:
        there = gpus()
        select_or_raise(values["gpu"], there)
        raise GpuError(f"gpu={','.join(values['gpu'])} does not go with experiment {name}, which measures on the CPU")
    check_architectures(chosen)
    if chosen:
        sweep.tune_for(chosen[0].slug)
        if untuned := sweep.untuned():
            told = f"{', '.join(untuned)}: not every problem has been tuned on {chosen[0].slug}; a rule chooses tiles."
            note = " ".join(filter(None, [note, f"{told} To store the fastest: make tune."]))
    redrawn = find_archives(["all"], archives) if sweep.experiment["redraw_archives"] else {}
    return Plan(results, catalog, sweep, chosen, cluster, gpu_model, redrawn, image, note)


def _image(name: str) -> str:
    """An image as Apptainer takes it. Raises BadValueError where it should be a file and there is none."""
    if name and "://" not in name and not Path(name).exists():
        raise BadValueError(
            f"container is {name}, and there is no such file\n"
            "build it (docs/containers.md), or name an image of a registry, such as container=docker://NAME:TAG"
        )
    return name


def check_architectures(gpus: Sequence[Gpu]) -> None:
    """Raises GpuError for a GPU that is older than the kernels' asynchronous copies."""
    for gpu in gpus:
        if int(re.sub(r"\D", "", gpu.architecture)) < OLDEST_ARCHITECTURE:
            raise GpuError(
                f"the kernels need sm_{OLDEST_ARCHITECTURE} (Ampere) or later, and {gpu.name} is {gpu.architecture}\n"
                "choose another GPU with gpu=INDEX, experiment=paper_cpu, or archive=all"
            )


def _cluster(values: Mapping[str, list[str]], catalog: Catalog) -> tuple[Mapping[str, Any] | None, str]:
    """The cluster that is asked for and the GPU model to ask it for. Raises RequestError.

    An experiment on the CPU asks for a GPU only if told which: so the tests find whether jobs share one.
    """
    if "cluster" not in values:
        if "gpu_model" in values:
            raise GpuError("gpu_model= names a GPU of a cluster; give cluster= too (on this machine: gpu=INDEX)")
        return None, ""
    if "gpu" in values or "gpus" in values:
        raise GpuError("gpu= and gpus= choose GPUs of this machine; with cluster= choose by gpu_model=")
    cluster = catalog.get("cluster", _single(values, "cluster", ""))
    on_cpu = catalog.groups["experiment"].get(_single(values, "experiment", "auto"), {}).get("device") == "cpu"
    model = _single(values, "gpu_model", "" if on_cpu else next(iter(cluster["gpus"])))
    if model and model not in cluster["gpus"]:
        raise GpuError(unknown("gpu_model", model, cluster["gpus"], f" of cluster {cluster['name']}"))
    return cluster, model


def tokens(key: str, value: object) -> list[str]:
    """The comma-separated values of a key, each once. Raises BadValueError where one is empty."""
    items = value if isinstance(value, list | tuple) else str("" if value is None else value).split(",")
    names = [str(item).strip() for item in items]
    if not names or not all(names):
        raise BadValueError(f"{key} has an empty value; give {key}=VALUE, several with commas between them")
    return list(dict.fromkeys(names))


def _single(values: Mapping[str, list[str]], key: str, default: str) -> str:
    given = values.get(key, [default])
    if len(given) > 1:
        raise BadValueError(f"{key} is {','.join(given)}; it takes one value, not several")
    return given[0]


def choose_gpus(wanted: Sequence[str] | None, there: Sequence[Gpu], experiment: str) -> tuple[tuple[Gpu, ...], str]:
    """The GPUs to measure on, all of one model, and a note for the user. Raises GpuError."""
    if wanted is not None:
        chosen = select_or_raise(wanted, there)
        models = {gpu.name for gpu in chosen}
        if len(models) > 1:
            raise GpuError(
                f"gpu={','.join(wanted)} names different models: {_described(chosen)}\n"
                "one run fills the results table of one model; run once for each"
            )
        return tuple(chosen), ""
    if not there:
        raise GpuError(
            f"experiment {experiment} measures on an NVIDIA GPU, and none was found on this machine{_because()}\n"
            "choose experiment=paper_cpu, or archive=all to redraw the figures of archived measurements"
        )
    chosen = [gpu for gpu in there if gpu.name == there[0].name]
    others = [gpu for gpu in there if gpu.name != there[0].name]
    if not others:
        return tuple(chosen), ""
    note = f"Measuring on {_described(chosen)} and not on {_described(others)}, for which gpu={others[0].index} asks."
    return tuple(chosen), note


def first_gpus(count: str, there: tuple[Gpu, ...], by_index: bool) -> tuple[Gpu, ...]:
    """So many of the GPUs of one model. Raises RequestError where there are fewer, or gpu= names them already."""
    if by_index:
        raise GpuError("gpu= names GPUs and gpus= counts them; leave out one of them")
    number = positive("gpus", count)
    if number > len(there):
        raise GpuError(f"gpus is {number}; the GPUs of one model on this machine are: {_described(there)}")
    return there[:number]


def _because() -> str:
    """Why there is no GPU, where the driver is at fault."""
    why = why_none()
    return f" ({why})" if why else ""


def select_or_raise(wanted: Sequence[str], there: Sequence[Gpu]) -> list[Gpu]:
    """The GPUs with these indices. Raises GpuError, listing those that exist."""
    for index in wanted:
        if not index.isdecimal():
            raise GpuError(f"gpu is {index}; it must be an index of: {_described(there)}")
    try:
        return select_gpus([int(index) for index in wanted], there)
    except DeviceError as error:
        raise GpuError(str(error)) from None


def _described(gpus: Sequence[Gpu]) -> str:
    return ", ".join(f"{gpu.index} ({gpu.name})" for gpu in gpus) or "none; this machine has no NVIDIA GPU"


def find_archives(wanted: Sequence[str], archives: Path = ARCHIVES, with_samples: bool = False) -> dict[str, str]:
    """Archives by name, checked: names in `archives`, folders elsewhere, or `all`. Raises BadArchiveError."""
    there = sorted(path.name for path in archives.glob("*") if path.is_dir())
    found: dict[str, Path] = {}
    for name in wanted:
        if name == "all":
            found |= {each: archives / each for each in there}
        elif name in there:
            found[name] = archives / name
        elif Path(name).is_dir():
            _add_folder(found, Path(name))
        else:
            names = unknown("archive", name, ["all", *there])
            raise BadArchiveError(f"{names}\nor the path of a folder with measurements.csv")
    if "all" in wanted and not there and with_samples:
        raise BadArchiveError(f"archive=all finds no archive in {os.path.relpath(archives)}")
    for path in found.values():
        _check_archive(path, with_samples)
    return {name: os.path.relpath(path) for name, path in found.items()}


def _add_folder(found: dict[str, Path], folder: Path) -> None:
    name = folder.resolve().name
    if name == COMPARISON:
        raise BadArchiveError(f"{folder} has the name of the folder that compares archives; rename it")
    if name in found and found[name].resolve() != folder.resolve():
        raise BadArchiveError(f"{found[name]} and {folder} would be drawn into one folder, {name}; rename one of them")
    found[name] = folder


def _check_archive(path: Path, with_samples: bool) -> None:
    from analysis.table import archive as table  # pandas is slow to import, and a run without archives does not need it

    try:
        archive = table.read(Path(os.path.relpath(path)))
        if with_samples:
            archive.samples()
    except table.ArchiveError as error:
        raise BadArchiveError(str(error)) from None

"""A request: the keys of `snakemake --config`, checked and resolved before any job.

Imports neither PyTorch nor CUDA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workflow.experiment import catalog as conf
from workflow.experiment.archives import ARCHIVES, find_archives
from workflow.experiment.catalog import Catalog
from workflow.experiment.errors import (
    BackendError,
    BadValueError,
    GpuError,
    UnknownKeyError,
    UnknownNameError,
    unknown,
)
from workflow.experiment.folders import results_folder
from workflow.experiment.gpus import (
    NO_GPU,
    check_architectures,
    choose_gpus,
    cluster_gpu,
    first_gpus,
    select_or_raise,
    usable_gpus,
    why_no_gpu,
)
from workflow.experiment.points import AXES
from workflow.experiment.sweep import Selection, Sweep
from workflow.machine.devices import Gpu

KEYS = ("experiment", *AXES, "gpu", "gpus", "cluster", "gpu_model", "results", "archive", "container")
#: Keys that go with archive=.
_WITH_ARCHIVE = ("archive", "results", "container")


@dataclass(frozen=True)
class Request:
    """What a run is to do. Without a sweep it only redraws archives."""

    #: The folder of all results.
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
        """cuda or cpu; nothing if nothing is measured."""
        return str(self.sweep.device["kind"]) if self.sweep else ""

    @property
    def experiment(self) -> str:
        """The experiment's name; nothing if nothing is measured."""
        return str(self.sweep.experiment["name"]) if self.sweep else ""

    @property
    def device(self) -> str:
        """The name of the device's folder of results: the GPU's slug, or cpu."""
        return self.gpus[0].slug if self.gpus else self.backend


def resolve(
    config: Mapping[str, Any],
    gpus: Callable[[], Sequence[Gpu]] = usable_gpus,
    archives: Path = ARCHIVES,
    known: Catalog | None = None,
) -> Request:
    """Resolve the keys of `--config`, with `known` in place of conf/ if it has been read.

    Raises RequestError, whose message is for the user.
    """
    values = _values(config)
    base = Request(
        results_folder(_single(values, "results", "results")), known or conf.read(), container=_container(values)
    )
    if "archive" in values:
        return replace(base, archives=_archives_alone(values, archives))
    cluster, model = _cluster(values, base.catalog)
    on_cpu_for_want = "experiment" not in values and not cluster and not gpus()
    sweep = _sweep(values, base.catalog, on_cpu_for_want)
    redraws = sweep.experiment["redraw_archives"] and not sweep.is_part
    chosen, note = _gpus(values, sweep, cluster, model, gpus)
    check_architectures(chosen, () if cluster or not chosen else gpus())
    if on_cpu_for_want:
        note = _fallback_note(sweep, redraws)
    if chosen:
        sweep.tune_for(chosen[0].slug)
        note = " ".join(filter(None, [note, _untuned_note(sweep, chosen[0])]))
    redrawn = find_archives(["all"], archives) if redraws else {}
    return replace(base, sweep=sweep, gpus=chosen, cluster=cluster, gpu_model=model, archives=redrawn, note=note)


def tokens(key: str, value: object) -> list[str]:
    """The comma-separated values of a key, each once. Raises BadValueError if one is empty."""
    items = value if isinstance(value, list | tuple) else str("" if value is None else value).split(",")
    names = [str(item).strip() for item in items]
    if not names or not all(names):
        raise BadValueError(f"{key} has an empty value; give {key}=VALUE, several with commas between them")
    return list(dict.fromkeys(names))


Values = Mapping[str, list[str]]


def _values(config: Mapping[str, Any]) -> dict[str, list[str]]:
    for key in config:
        if key not in KEYS:
            raise UnknownKeyError(unknown("key", key, KEYS, " in --config"))
    values = {key: tokens(key, value) for key, value in config.items()}
    if values.get("experiment") == ["auto"]:  # the default, by name
        del values["experiment"]
    return values


def _single(values: Values, key: str, default: str = "") -> str:
    given = values.get(key, [default])
    if len(given) > 1:
        raise BadValueError(f"{key} is {','.join(given)}; it takes one value, not several")
    return given[0]


def _container(values: Values) -> str:
    """An image as Apptainer takes it. Raises BadValueError if it should be a file and there is none."""
    name = _single(values, "container")
    if name and "://" not in name and not Path(name).exists():
        raise BadValueError(
            f"container is {name}, and there is no such file\n"
            "build it (docs/containers.md), or name an image of a registry, such as container=docker://NAME:TAG"
        )
    return name


def _archives_alone(values: Values, archives: Path) -> dict[str, str]:
    others = [key for key in values if key not in _WITH_ARCHIVE]
    if others:
        raise BadValueError(
            f"archive= only draws what was measured before; {others[0]}= cannot go with it, leave out one of them"
        )
    return find_archives(values["archive"], archives, with_samples=True)


def _cluster(values: Values, catalog: Catalog) -> tuple[Mapping[str, Any] | None, str]:
    """The cluster that is asked for and the GPU model to ask it for. Raises RequestError.

    An experiment on the CPU asks for a GPU only if gpu_model= says which.
    """
    if "cluster" not in values:
        if "gpu_model" in values:
            raise GpuError("gpu_model= names a GPU of a cluster; give cluster= too (on this machine: gpu=INDEX)")
        return None, ""
    if "gpu" in values or "gpus" in values:
        raise GpuError("gpu= and gpus= choose GPUs of this machine; with cluster= choose by gpu_model=")
    cluster = catalog.get("cluster", _single(values, "cluster"))
    experiment = catalog.groups["experiment"].get(_single(values, "experiment"), {})
    model = _single(values, "gpu_model", "" if experiment.get("device") == "cpu" else next(iter(cluster["gpus"])))
    if model:
        cluster_gpu(cluster, model)
    return cluster, model


def _sweep(values: Values, catalog: Catalog, on_cpu_for_want: bool) -> Sweep:
    """The points asked for. Without an experiment's name: the paper's on a GPU, or on the CPU for want of one."""
    name = _single(values, "experiment", "paper_cpu" if on_cpu_for_want else "paper")
    if name not in catalog.groups["experiment"]:
        raise UnknownNameError(unknown("experiment", name, ["auto", *catalog.names("experiment")]))
    axes = {axis: values[axis] for axis in AXES if axis in values}
    if "layer" in axes:
        axes |= _typed_layers(axes, catalog)
    try:
        return Sweep(catalog, Selection(name, axes))
    except BackendError as error:
        raise BackendError(f"{error}\n({NO_GPU}.)" if on_cpu_for_want else str(error)) from None


def _typed_layers(axes: Values, catalog: Catalog) -> dict[str, list[str]]:
    """The layers asked for, descriptors among them in their normal form, and the batch that these say if they say one.

    Raises BadProblemError for a bad descriptor, and BadValueError if the batches of the request are not one.
    """
    layers: list[str] = []
    batches: dict[int, str] = {}
    for name in axes["layer"]:
        if catalog.is_descriptor("layer", name):
            called, batch = conf.described(name)
            layers.append(called["name"])
            if batch is not None:
                batches[batch] = name
        else:
            layers.append(name)
    found = {"layer": list(dict.fromkeys(layers))}
    for batch, name in batches.items():
        others = axes.get("batch", [str(other) for other in batches])
        if others != [str(batch)]:
            raise BadValueError(
                f"layer {name} has mb{batch}, but the batch is {','.join(others)}; leave out mb, and give batch="
            )
        found["batch"] = [str(batch)]
    return found


def _gpus(
    values: Values, sweep: Sweep, cluster: Mapping[str, Any] | None, model: str, gpus: Callable[[], Sequence[Gpu]]
) -> tuple[tuple[Gpu, ...], str]:
    """The GPUs to measure on, none for the CPU backend, and a note for the user. Raises RequestError."""
    name = sweep.experiment["name"]
    if sweep.device["kind"] != "cuda":
        if "gpus" in values:
            raise GpuError(f"gpus= does not go with experiment {name}, which measures on the CPU")
        if "gpu" in values:
            select_or_raise(values["gpu"], gpus())
            raise GpuError(
                f"gpu={','.join(values['gpu'])} does not go with experiment {name}, which measures on the CPU"
            )
        return (), ""
    if cluster:
        planned = cluster_gpu(cluster, model)
        return (planned,), f"Planning for {planned.name} of cluster {cluster['name']}."
    chosen, note = choose_gpus(values.get("gpu"), gpus(), name)
    if "gpus" in values:
        chosen = first_gpus(_single(values, "gpus"), chosen, "gpu" in values)
    return chosen, note


def _fallback_note(sweep: Sweep, redraws: bool) -> str:
    batches = ", ".join(str(batch) for batch in sorted({point.batch for point in sweep.points.values()}))
    drawn = ", and drawing archived GPU measurements too" if redraws else ""
    return f"{NO_GPU}{why_no_gpu()}: measuring the CPU backend at batch {batches}{drawn}."


def _untuned_note(sweep: Sweep, gpu: Gpu) -> str:
    untuned = sweep.untuned()
    if not untuned:
        return ""
    told = f"{', '.join(untuned)}: not every problem has been tuned on {gpu.slug}; a rule chooses tiles."
    return f"{told} To store the fastest: make tune."

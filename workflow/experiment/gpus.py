"""Which GPUs a request measures on: those of one model on this machine, or a model of a cluster."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kernels.build.architectures import OLDEST_ARCHITECTURE
from workflow.experiment.errors import GpuError, unknown
from workflow.experiment.points import positive
from workflow.machine.devices import (
    DeviceError,
    Gpu,
    described,
    find_gpus,
    pytorch_without_cuda,
    select_gpus,
    why_none,
)

NO_GPU = "No NVIDIA GPU was found"


def cluster_gpu(cluster: Mapping[str, Any], model: str) -> Gpu:
    """The GPU of a cluster that Slurm calls `model`, as a run there will find it. Raises GpuError."""
    if model not in cluster["gpus"]:
        raise GpuError(unknown("gpu_model", model, cluster["gpus"], f" of cluster {cluster['name']}"))
    described = cluster["gpus"][model]
    return Gpu(0, "", described["device"], described["architecture"])


def choose_gpus(wanted: Sequence[str] | None, there: Sequence[Gpu], experiment: str) -> tuple[tuple[Gpu, ...], str]:
    """The GPUs of this machine to measure on, all of one model, and a note for the user. Raises GpuError."""
    if wanted is not None:
        chosen = select_or_raise(wanted, there)
        models = {gpu.name for gpu in chosen}
        if len(models) > 1:
            raise GpuError(
                f"gpu={','.join(wanted)} names different models: {described(chosen)}\n"
                "one run fills the results table of one model; run once for each"
            )
        return tuple(chosen), ""
    if not there:
        raise GpuError(
            f"experiment {experiment} measures on an NVIDIA GPU, and none was found on this machine{why_no_gpu()}\n"
            "choose experiment=paper_cpu, or archive=all to redraw the figures of archived measurements"
        )
    first = next((gpu for gpu in there if not is_too_old(gpu.architecture)), there[0])
    chosen = [gpu for gpu in there if gpu.name == first.name]
    others = [gpu for gpu in there if gpu.name != first.name]
    if not others:
        return tuple(chosen), ""
    asked = next((gpu for gpu in others if not is_too_old(gpu.architecture)), None)
    why = f", for which gpu={asked.index} asks" if asked else f", which are older than sm_{OLDEST_ARCHITECTURE}"
    return tuple(chosen), f"Measuring on {described(chosen)} and not on {described(others)}{why}."


def first_gpus(count: str, there: tuple[Gpu, ...], by_index: bool) -> tuple[Gpu, ...]:
    """The first `count` GPUs of one model. Raises RequestError if there are fewer, or gpu= names them already."""
    if by_index:
        raise GpuError("gpu= names GPUs and gpus= counts them; leave out one of them")
    number = positive("gpus", count)
    if number > len(there):
        raise GpuError(f"gpus is {number}; the GPUs of one model on this machine are: {described(there)}")
    return there[:number]


def select_or_raise(wanted: Sequence[str], there: Sequence[Gpu]) -> list[Gpu]:
    """The GPUs with these indices. Raises GpuError, listing those that exist."""
    for index in wanted:
        if not index.isdecimal():
            raise GpuError(
                f"gpu is {index}; it must be an index of: {described(there)}{why_no_gpu() if not there else ''}"
            )
    try:
        return select_gpus([int(index) for index in wanted], there)
    except DeviceError as error:
        raise GpuError(f"{error}{'' if there else why_no_gpu()}") from None


def usable_gpus() -> list[Gpu]:
    """The GPUs of this machine. Raises GpuError if there are some and PyTorch cannot use any."""
    gpus = find_gpus()
    if gpus and (version := pytorch_without_cuda()):
        raise GpuError(
            f"{described(gpus)} is here, but PyTorch {version} was built without CUDA\n"
            "install the CUDA build (unset PIP_EXTRA_INDEX_URL; make clean environment), or measure the CPU backend "
            "(CUDA_VISIBLE_DEVICES=-1), or redraw archived measurements (archive=all)"
        )
    return gpus


def is_too_old(architecture: str) -> bool:
    """Whether an architecture (as `sm_90a`) lacks what the kernels need."""
    return int(re.sub(r"\D", "", architecture)) < OLDEST_ARCHITECTURE


def check_architectures(gpus: Sequence[Gpu], there: Sequence[Gpu] = ()) -> None:
    """Raises GpuError for a GPU that is older than the kernels' asynchronous copies; `there` are this machine's."""
    for gpu in gpus:
        if is_too_old(gpu.architecture):
            newer = [one for one in there if not is_too_old(one.architecture)]
            instead = (
                f"choose another GPU with gpu=INDEX ({described(newer)}), "
                if newer
                else "choose another GPU (of a cluster: gpu_model=NAME), "
            )
            raise GpuError(
                f"the kernels need sm_{OLDEST_ARCHITECTURE} (Ampere) or later, and {gpu.name} is {gpu.architecture}\n"
                f"{instead}experiment=paper_cpu, or archive=all"
            )


def why_no_gpu() -> str:
    """Why no GPU was found, in brackets, where the driver says why."""
    why = why_none()
    return f" ({why})" if why else ""

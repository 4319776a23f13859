"""The files of conf/cluster: what was typed is taken as typed, and what a job would stumble over is refused at once."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from kernels.build.architectures import architecture_name, normalize
from workflow.experiment.errors import ConfigFileError
from workflow.experiment.schema import Cluster, ClusterGpu

#: What a model may say for itself; else the cluster's value holds.
PER_GPU = ("partition", "account", "qos", "constraint", "options")
_WHOLE, _NUMBER = re.compile(r"[1-9][0-9]*"), re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?")
_TYPE = re.compile(r"[A-Za-z0-9_.+-]+")
#: What Snakemake's Slurm plugin takes as a resource. Other types are passed on among the options of sbatch.
_PLUGIN_TYPE = re.compile(r"[A-Za-z0-9_.]+")
#: What NVML's names of data centre and workstation GPUs hold, and their compute capability.
_CAPABILITIES = (
    (r"(GH|H)200|H[18]00|H20", (9, 0)),
    (r"A[18]00|A30", (8, 0)),
    (r"A40|A16|A10G?|A2|RTX A[0-9]+|RTX 30[0-9]+", (8, 6)),
    (r"L40S?|L4|L20|RTX [0-9]+ Ada|RTX 40[0-9]+", (8, 9)),
    (r"G?B[12]00", (10, 0)),
    (r"G?B300", (10, 3)),
    (r"RTX 50[0-9]+|RTX PRO [0-9]+", (12, 0)),
    (r"V100S?|TITAN V", (7, 0)),
    (r"T4|RTX 20[0-9]+|Quadro RTX [0-9]+", (7, 5)),
    (r"P100", (6, 0)),
)
#: Options of sbatch that come from other keys, or from Snakemake; its plugin refuses them at the first job.
_MANAGED = re.compile(
    "--(account|partition|qos|constraint|gres|gpus|mem|mem-per-cpu|cpus-per-task|cpus-per-gpu|ntasks|ntasks-per-gpu|nodes"
    "|time|clusters|job-name|output|error|export|comment|workdir|parsable)(=.*)?|-[ApCGcnNtJoeD].*"
)


def check_typed(path: Path) -> None:
    """Refuse what YAML would read as something else than was typed, such as 1:30, which is 90.

    Raises ConfigFileError, whose message names file, key and value. What is no YAML at all is left to Hydra.
    """
    at = f"conf/cluster/{path.name}"
    for key, models in _pairs(_compose(path)):
        if key.value == "gpus":
            _check_models(at, models)
    for keys, wanted, typed in _typed(path):
        key = ".".join(keys)
        if typed is None:
            blank = 'leave the line out, or write ""' if wanted is str else "leave the line out"
            raise ConfigFileError(f"{at}: {key} is empty; write a value, or {blank}")
        pattern = {int: _WHOLE, float: _NUMBER}.get(wanted)
        if pattern and "${" not in typed and (not pattern.fullmatch(typed) or not float(typed)):
            what = "whole number, such as 4" if wanted is int else "number, such as 10 or 0.5"
            raise ConfigFileError(f"{at}: {key} is {typed}; it must be a positive {what}")


def complete(path: Path, cluster: dict[str, Any]) -> None:
    """Restore the words of a file of conf/cluster that YAML reads as numbers, and fill in what may be left out.

    Raises ConfigFileError, whose message names file, key and value, for what a job would stumble over.
    """
    where = f"conf/cluster/{path.name}"
    for keys, wanted, typed in _typed(path):
        if wanted is str and typed is not None and "${" not in typed:
            holder = cluster
            for key in keys[:-1]:
                holder = holder[key]
            holder[keys[-1]] = typed
    for key in ("seconds_per_point", "seconds_per_job", "cores_per_job", "memory_mb_per_core", "minutes_per_point"):
        if not cluster[key] > 0:
            raise ConfigFileError(f"{where}: {key} is {cluster[key]}; it must be positive")
    _check_options(where, "options", cluster["options"])
    for name, gpu in cluster["gpus"].items():
        _complete_gpu(where, name, gpu, cluster)


def gpu_request(gpu: Mapping[str, Any], option: str) -> dict[str, int | str]:
    """The resources with which Snakemake's Slurm plugin asks for one GPU, by --gpus or --gres."""
    kind = gpu["type"]
    if option == "gres":
        return {"gres": f"gpu:{kind}:1" if kind else "gpu:1"}
    if not kind:
        return {"gpu": 1}
    if _PLUGIN_TYPE.fullmatch(kind):
        return {"gpu_model": kind}
    # The plugin takes no hyphens. A job has one node and one task, so this asks for the same as --gpus.
    return {"slurm_extra": f"--gpus-per-node={kind}:1"}


def _typed(path: Path) -> list[tuple[list[str], type, str | None]]:
    """Keys, type (str, int, float) and text of every value of a file; no text where it is blank."""
    return list(_values(_compose(path), Cluster, []))


def _compose(path: Path) -> Any:
    try:
        return yaml.compose(path.read_text(), yaml.SafeLoader)
    except yaml.YAMLError:
        return None


def _pairs(node: Any) -> list[tuple[Any, Any]]:
    return node.value if isinstance(node, yaml.MappingNode) else []


def _values(node: Any, schema: type, keys: list[str]) -> Iterator[tuple[list[str], type, str | None]]:
    hints = typing.get_type_hints(schema)
    for key, value in _pairs(node):
        here, hint = [*keys, key.value], hints.get(key.value)
        if here == ["gpus"]:
            for name, gpu in _pairs(value):
                yield from _values(gpu, ClusterGpu, [*here, name.value])
            continue
        for one in (str, int, float):
            if isinstance(value, yaml.ScalarNode) and one in (hint, *typing.get_args(hint)):
                yield here, one, None if value.tag.endswith(":null") else value.value


def _check_models(where: str, models: Any) -> None:
    pairs = _pairs(models)
    for name, _ in pairs:
        if not name.tag.endswith(":str"):
            raise ConfigFileError(
                f'{where}: gpus has the name {name.value}, which YAML does not read as a word; write "{name.value}"'
            )
    if not pairs or not all(isinstance(gpu, yaml.MappingNode) for _, gpu in pairs):
        raise ConfigFileError(
            f"{where}: gpus must have a device for each model, such as h100: {{device: NVIDIA H100 80GB HBM3}}"
        )


def _complete_gpu(where: str, name: str, gpu: dict[str, Any], cluster: Mapping[str, Any]) -> None:
    if not _TYPE.fullmatch(name):
        raise ConfigFileError(
            f"{where}: {name!r} in gpus is no name of a model; write NAME where `sinfo -o %G` prints gpu:NAME:COUNT; "
            'where it prints gpu:COUNT, choose a name and add type: ""'
        )
    if name == "gpu" and gpu["type"] is None:
        raise ConfigFileError(
            f'{where}: gpu in gpus is the name of all GPUs, not of a model; add type: "" to ask for one of any model'
        )
    gpu["type"] = name if gpu["type"] is None else gpu["type"]
    for key in PER_GPU:
        gpu[key] = cluster[key] if gpu[key] is None else gpu[key]
    at = f"gpus.{name}"
    if gpu["type"] and not _TYPE.fullmatch(gpu["type"]):
        raise ConfigFileError(
            f"{where}: {at}.type is {gpu['type']!r}; write NAME where `sinfo -o %G` prints gpu:NAME:COUNT"
        )
    if cluster["gpu_option"] == "gres" and gpu["type"] and not _PLUGIN_TYPE.fullmatch(gpu["type"]):
        raise ConfigFileError(
            f"{where}: Snakemake's Slurm plugin takes no --gres with the hyphens of {gpu['type']}; write gpu_option: "
            f'gpus, or {at}: type: "" and a partition or constraint that only this model has'
        )
    _check_options(where, f"{at}.options", gpu["options"])
    if not gpu["device"].strip():
        raise ConfigFileError(f"{where}: {at}.device is empty; write the name that `nvidia-smi -L` prints on a node")
    gpu["architecture"] = _architecture(where, at, gpu)


def _architecture(where: str, at: str, gpu: Mapping[str, Any]) -> str:
    """NVRTC's name of what kernels are compiled for, from the device's name or the compute capability that is given."""
    known = next(
        (architecture_name(*found) for name, found in _CAPABILITIES if re.search(rf"\b({name})\b", gpu["device"])), ""
    )
    typed = gpu["architecture"]
    ask = "on a node: nvidia-smi --query-gpu=compute_cap --format=csv"
    if not typed:
        if known:
            return known
        raise ConfigFileError(
            f"{where}: {at}.architecture is missing, and does not follow from {gpu['device']!r}; "
            f"write the compute capability, such as 9.0 ({ask})"
        )
    try:
        given = normalize(typed)
    except ValueError:
        raise ConfigFileError(
            f"{where}: {at}.architecture is {typed}; write the compute capability, such as 9.0 ({ask})"
        ) from None
    if known and given != known:
        raise ConfigFileError(
            f"{where}: {at}.architecture is {typed}, but {gpu['device']} is {known}; leave architecture out"
        )
    return given


def _check_options(where: str, key: str, options: str) -> None:
    for word in options.split():
        if _MANAGED.fullmatch(word):
            raise ConfigFileError(
                f"{where}: {key} has {word}, which the other keys of the file or Snakemake set; leave it out there"
            )
        if not re.fullmatch(r"[\w@%+=:,./-]+", word):
            raise ConfigFileError(f"{where}: {key} has {word}, which a shell would read differently; leave it out")

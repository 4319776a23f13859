"""Everything that conf/ offers, composed by Hydra in one go and checked against the schemas."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from analysis.table.order import natural_key
from workflow.experiment import clusters
from workflow.experiment.errors import ConfigFileError, UnknownNameError, unknown
from workflow.experiment.schema import GROUPS, About, Anchors, ClusterGpu, Sampling, register

#: The folder of the Snakefile.
ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
#: Files that are composed together: what Hydra takes grows with the square of their number.
_AT_ONCE = 24
_REJECTED = (HydraException, OmegaConfBaseException, YAMLError)


class Catalog:
    """The entries of every group of conf/, as plain dictionaries."""

    def __init__(self, groups: dict[str, dict[str, dict[str, Any]]]) -> None:
        self.groups = groups

    def names(self, group: str) -> list[str]:
        """The names in a group, conv2 before conv10."""
        return sorted(self.groups[group], key=natural_key)

    def get(self, group: str, name: str, where: str = "") -> dict[str, Any]:
        """One entry. Raises UnknownNameError, listing the valid names."""
        if name not in self.groups[group]:
            raise UnknownNameError(unknown(kind(group), name, self.names(group), where))
        return self.groups[group][name]


def kind(group: str) -> str:
    """How a message calls a member of a group."""
    return "numeric class" if group == "numerics" else group


def read(conf: Path = CONF) -> Catalog:
    """Compose every file of conf/. Raises ConfigFileError, naming the file and the key, where one is wrong."""
    register()
    names = {group: sorted(path.stem for path in (conf / group).glob("*.yaml")) for group in GROUPS}
    for name in names["cluster"]:
        clusters.check_typed(conf / "cluster" / f"{name}.yaml")
    try:
        groups = _compose(conf, [(group, name) for group in GROUPS for name in names[group]])
    except _REJECTED:
        # One by one it is slow, but it tells which file is at fault.
        for group in GROUPS:
            for name in names[group]:
                try:
                    _compose(conf, [(group, name)])
                except _REJECTED as error:
                    raise ConfigFileError(f"conf/{group}/{name}.yaml: {_explain(group, error)}") from None
        raise
    catalog = Catalog({group: groups.get(group, {}) for group in GROUPS})
    _check_names(catalog)
    for name, cluster in catalog.groups["cluster"].items():
        clusters.complete(conf / "cluster" / f"{name}.yaml", cluster)
    return catalog


def _compose(conf: Path, entries: Sequence[tuple[str, str]]) -> dict[str, dict[str, dict[str, Any]]]:
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    with initialize_config_dir(version_base="1.3", config_dir=str(conf)):
        for start in range(0, len(entries), _AT_ONCE):
            defaults = [{f"/{group}@{group}.{name}": name} for group, name in entries[start : start + _AT_ONCE]]
            ConfigStore.instance().store(name="catalog", node={"defaults": defaults})
            composed = OmegaConf.to_container(compose("catalog"), resolve=True, throw_on_missing=True, enum_to_str=True)
            assert isinstance(composed, dict)
            for group, found in composed.items():
                groups.setdefault(str(group), {}).update(found)
    return groups


def _explain(group: str, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("full_key:", "object_type=", "reference_type=", "In '"))]
    message = said[0] if said else type(error).__name__
    found = re.search(r"Key '([^']+)' not in '(\w+)'", str(error))
    if found:
        schemas = {node.__name__: node for node in (*GROUPS.values(), About, Anchors, Sampling, ClusterGpu)}
        return unknown("key", found[1], [field.name for field in dataclasses.fields(schemas[found[2]])])
    if "is not a ListConfig" in message:
        message = "must be a list, such as [one, two]"
    if isinstance(error, YAMLError):
        message = f"not YAML: {' '.join(lines)}"
    keys = [line.removeprefix("full_key:").strip() for line in lines if line.startswith("full_key:")]
    return f"{keys[0].split('.', 2)[-1]}: {message}" if keys else message


def _check_names(catalog: Catalog) -> None:
    """An entry is called what its file is called, and what it refers to exists."""
    for group, entries in catalog.groups.items():
        for name, entry in entries.items():
            own = entry.get("kind" if group == "device" else "name")
            if own != name:
                raise ConfigFileError(f"conf/{group}/{name}.yaml: its name is {own!r}, but it must be {name!r}")
    for name, suite in catalog.groups["suite"].items():
        for layer in suite["layers"]:
            catalog.get("layer", layer, f" in conf/suite/{name}.yaml")
        for layer, changes in suite["changes"].items():
            if layer not in suite["layers"]:
                message = unknown("layer", layer, suite["layers"], " in changes")
                raise ConfigFileError(f"conf/suite/{name}.yaml: {message}")
            for size in changes:
                sizes = [key for key in catalog.get("layer", layer) if key != "name"]
                if size not in sizes:
                    raise ConfigFileError(f"conf/suite/{name}.yaml: " + unknown("size", size, sizes, f" of {layer}"))
    for name, algorithm in catalog.groups["algorithm"].items():
        for numerics in algorithm["numerics"]:
            catalog.get("numerics", numerics, f" in conf/algorithm/{name}.yaml")
    for name, experiment in catalog.groups["experiment"].items():
        for group in ("suite", "layer", "algorithm", "protocol", "numerics"):
            for entry_name in experiment[group]:
                catalog.get(group, entry_name, f" in conf/experiment/{name}.yaml")
        for group, names in experiment["anchors"].items():
            for entry_name in names:
                catalog.get(group, entry_name, f" in anchors of conf/experiment/{name}.yaml")
        catalog.get("device", experiment["device"], f" in conf/experiment/{name}.yaml")

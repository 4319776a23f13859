"""Everything that conf/ offers, composed as Hydra does and checked against the schemas."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from analysis.table.order import natural_key
from kernels import benchdnn
from kernels.build.architectures import OLDEST_ARCHITECTURE, normalize
from kernels.problem import ConvProblem, ProblemError
from workflow.experiment import checks, clusters
from workflow.experiment.errors import BadProblemError, BadValueError, ConfigFileError, UnknownNameError, unknown
from workflow.experiment.gpus import is_too_old
from workflow.experiment.schema import GROUPS, PARTS, register

#: The folder of the Snakefile.
ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
#: The suite of the layers that no file of conf/suite lists.
OWN_LAYERS = "own"
_REJECTED = (HydraException, OmegaConfBaseException, YAMLError)


class Catalog:
    """The entries of every group of conf/, as plain dictionaries."""

    def __init__(self, groups: dict[str, dict[str, dict[str, Any]]]) -> None:
        self.groups = groups

    def names(self, group: str) -> list[str]:
        """The names in a group, conv2 before conv10."""
        return sorted(self.groups[group], key=natural_key)

    def get(self, group: str, name: str, where: str = "") -> dict[str, Any]:
        """One entry; a layer may also be a descriptor (see kernels.benchdnn).

        Raises UnknownNameError, listing the valid names, or BadProblemError for a bad descriptor.
        """
        if self.is_descriptor(group, name):
            return described(name, where).layer
        if name not in self.groups[group]:
            raise UnknownNameError(unknown(kind(group), name, self.names(group), where))
        return self.groups[group][name]

    def is_descriptor(self, group: str, name: str) -> bool:
        """Whether this is a layer that no file describes, but its name itself."""
        return group == "layer" and name not in self.groups[group] and benchdnn.is_descriptor(name)


def described(name: str, where: str = "") -> benchdnn.Described:
    """What a descriptor says. Raises BadProblemError."""
    try:
        return benchdnn.parse(name)
    except ProblemError as error:
        raise BadProblemError(f"layer{where} {error}") from None


def own_suite(layers: list[str]) -> dict[str, Any]:
    """The suite of layers that no file of conf/suite lists."""
    return {
        "name": OWN_LAYERS,
        "layers": layers,
        "changes": {},
        "batch": None,
        "counts": {},
        "network": {},
        "unsupported": [],
    }


def kind(group: str) -> str:
    """How a message calls a member of a group."""
    return "numeric class" if group == "numerics" else group


def read(conf: Path = CONF) -> Catalog:
    """Compose every file of conf/. Raises RequestError, naming the file and the key, where one is wrong."""
    register()
    files = {group: {path.stem: path for path in checks.files(conf, group)} for group in GROUPS}
    entries = [(group, name) for group in GROUPS for name in files[group]]
    for group, name in entries:
        checks.check_text(files[group][name], _where(group, name))
    for path in files["cluster"].values():
        clusters.check_typed(path)
    catalog = Catalog({group: {} for group in GROUPS})
    for group, name in entries:
        try:
            catalog.groups[group][name] = _compose(conf, group, name, files[group][name])
        except _REJECTED as error:
            if checks.has_other_schema(files[group][name], group):
                raise _without_schema(group, name) from None
            raise ConfigFileError(f"{_where(group, name)}: {_explain(group, error)}") from None
    for group, name in entries:
        _check_entry(group, name, catalog.groups[group][name], files[group][name])
    for name, path in files["cluster"].items():
        clusters.complete(path, catalog.groups["cluster"][name])
    listed = {layer for suite in catalog.groups["suite"].values() for layer in suite["layers"]}
    if unlisted := [layer for layer in catalog.names("layer") if layer not in listed]:
        catalog.groups["suite"][OWN_LAYERS] = own_suite(unlisted)
    _check_references(catalog)
    return catalog


def _where(group: str, name: str) -> str:
    return f"conf/{group}/{name}.yaml"


def _without_schema(group: str, name: str) -> ConfigFileError:
    return ConfigFileError(
        f"{_where(group, name)}: it must begin with three lines, as every file of conf/{group} does: "
        f"'defaults:', '  - /schema/{group}@_here_' and '  - _self_'"
    )


def _compose(conf: Path, group: str, name: str, path: Path) -> dict[str, Any]:
    """One entry, as Hydra composes it; of a file with the usual defaults directly, since Hydra takes far longer.

    What that rejects, Hydra does too, and says why.
    """
    with suppress(*_REJECTED, AttributeError, TypeError):
        content: Any = OmegaConf.load(path)
        if content.pop("defaults", None) == [f"/schema/{group}@_here_", "_self_"]:
            return _plain(OmegaConf.merge(_empty(GROUPS[group]), content))
    with initialize_config_dir(version_base="1.3", config_dir=str(conf)):
        # A package is no place for a name with dots.
        ConfigStore.instance().store(name="catalog", node={"defaults": [{f"/{group}@file": name}]})
        node = compose("catalog").get("file")
    if OmegaConf.get_type(node) is not GROUPS[group]:
        raise _without_schema(group, name)
    return _plain(node)


@cache
def _empty(schema: type) -> Any:
    return OmegaConf.structured(schema)


def _plain(node: Any) -> dict[str, Any]:
    entry = OmegaConf.to_container(node, resolve=True, throw_on_missing=True, enum_to_str=True)
    assert isinstance(entry, dict)
    return {str(key): value for key, value in entry.items()}


def _explain(group: str, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("full_key:", "object_type=", "reference_type=", "In '"))]
    message = said[0] if said else type(error).__name__
    found = re.search(r"Key '([^']+)' not in '(\w+)'", str(error))
    if found:
        schemas = {node.__name__: node for node in (*GROUPS.values(), *PARTS)}
        return unknown("key", found[1], [field.name for field in dataclasses.fields(schemas[found[2]])])
    if "is not a ListConfig" in message:
        message = "must be a list, such as [one, two]"
    if isinstance(error, MissingConfigException):
        message = f"its defaults name {error.missing_cfg_file}, and there is no such file"
    if isinstance(error, YAMLError):
        message = f"not YAML: {' '.join(lines)}"
    keys = [line.removeprefix("full_key:").strip() for line in lines if line.startswith("full_key:")]
    return f"{keys[0].split('.', 2)[-1]}: {message}" if keys else message


def _check_entry(group: str, name: str, entry: dict[str, Any], path: Path) -> None:
    """An entry is called what its file is called, and its values are what its file says, and possible."""
    where = _where(group, name)
    if group != "cluster":
        checks.check_quotes(path, where, entry)
    own = entry.get("kind" if group == "device" else "name")
    if own != name:
        raise ConfigFileError(f"{where}: its name is {own!r}, but it must be {name!r}")
    if group == "suite":
        entry["layers"] = entry["layers"] or list(entry["counts"])
    checks.check_needed(group, entry, where)
    try:
        checks.check_numbers(entry, f"{where}: ")
        if group == "layer":
            checks.check_layer(entry, where)
        if group == "suite":
            checks.check_network(entry, where)
        if group == "algorithm":
            checks.check_look(entry["about"], f"{where}: about: ")
        if group == "experiment":
            checks.check_numbers(entry["sampling"], f"{where}: sampling: ")
            entry["architectures"] = [normalize(architecture) for architecture in entry["architectures"]]
            if old := [architecture for architecture in entry["architectures"] if is_too_old(architecture)]:
                raise ValueError(f"{old[0]} is too old; the kernels need sm_{OLDEST_ARCHITECTURE} (Ampere) or later")
    except BadValueError as error:
        raise ConfigFileError(str(error)) from None
    except ValueError as error:
        raise ConfigFileError(f"{where}: architectures: {error}") from None


def _check_references(catalog: Catalog) -> None:
    """What an entry refers to exists."""
    for name, suite in catalog.groups["suite"].items():
        for layer in suite["layers"]:
            called = catalog.get("layer", layer, f" in conf/suite/{name}.yaml")["name"]
            if called != layer:
                raise ConfigFileError(f"conf/suite/{name}.yaml: layer {layer}: write it in its normal form, {called}")
        for layer, changes in suite["changes"].items():
            if layer not in suite["layers"]:
                message = unknown("layer", layer, suite["layers"], " in changes")
                raise ConfigFileError(f"conf/suite/{name}.yaml: {message}")
            for size in changes:
                sizes = [key for key in catalog.get("layer", layer) if key != "name"]
                if size not in sizes:
                    raise ConfigFileError(f"conf/suite/{name}.yaml: " + unknown("size", size, sizes, f" of {layer}"))
    for name, algorithm in catalog.groups["algorithm"].items():
        if algorithm["tuned_as"]:
            catalog.get("algorithm", algorithm["tuned_as"], f" in tuned_as of conf/algorithm/{name}.yaml")
        for numerics in algorithm["numerics"]:
            catalog.get("numerics", numerics, f" in conf/algorithm/{name}.yaml")
    for name, experiment in catalog.groups["experiment"].items():
        for group in ("suite", "layer", "algorithm", "protocol", "numerics"):
            for entry_name in experiment[group]:
                catalog.get(group, entry_name, f" in conf/experiment/{name}.yaml")
        for group, names in experiment["anchors"].items():
            for entry_name in names:
                catalog.get(group, entry_name, f" in anchors of conf/experiment/{name}.yaml")
        for entry_name in [suite for product in experiment["models"] for suite in product["suite"]]:
            catalog.get("suite", entry_name, f" in models of conf/experiment/{name}.yaml")
        catalog.get("device", experiment["device"], f" in conf/experiment/{name}.yaml")
        if not experiment["batch"]:
            for suite_name in experiment["suite"]:
                if catalog.get("suite", suite_name)["batch"] is None:
                    raise ConfigFileError(
                        f"conf/experiment/{name}.yaml: batch is empty, and suite {suite_name} has none of its own; "
                        "name at least one, as in batch: [1, 64]"
                    )


def resolve_layer(catalog: Catalog, suite: str, layer: str) -> dict[str, Any]:
    """A layer's sizes in one suite, which may change some of them."""
    # A descriptor that was typed is of the suite `own`, which may have no entry.
    changes = catalog.groups["suite"].get(suite, own_suite([]))["changes"]
    return {**catalog.get("layer", layer), **changes.get(layer, {})}


def check_problem(layer: Mapping[str, Any], batch: int, suite: str) -> ConvProblem:
    """The convolution of a layer. Raises BadProblemError if there can be none."""
    try:
        return ConvProblem.from_layer(layer, batch)
    except ProblemError as error:
        name = layer["name"]
        raise BadProblemError(
            f"layer {name} of suite {suite} at batch {batch}: {error}\n"
            f"correct conf/layer/{name}.yaml, or what conf/suite/{suite}.yaml changes in it"
        ) from None

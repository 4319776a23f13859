"""Measures one point by hand, or several one after the other. A Hydra application on conf/config.yaml:

    python -m workflow.point_app layer=conv1 algorithm=im2win batch=64
    python -m workflow.point_app --multirun layer=conv1,conv2 algorithm=cpu_im2win,cpu_torch batch=1
    python -m workflow.point_app algorithm=cpu_im2win layer.stride=2 protocol.max_seconds=2
    python -m workflow.point_app algorithm=cpu_im2win layer=ic64ih56oc64kh3ph1 batch=1

Every value of the configuration can be changed. Results go to results/by_hand, where no figure reads them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from workflow.experiment import catalog
from workflow.experiment.catalog import Catalog, check_problem, described, resolve_layer
from workflow.experiment.checks import NAMES, check_numbers, is_name
from workflow.experiment.errors import BadValueError, GpuError, NoPointError, RequestError
from workflow.experiment.folders import check_writable
from workflow.experiment.points import positive
from workflow.experiment.schema import Layer, register
from workflow.experiment.sources import check_sources
from workflow.jobs.results import CEILINGS
from workflow.machine.devices import find_gpus
from workflow.measure import measure_point

FOLDER = Path("results/by_hand")
_LAYER, _BATCH = "layer=", "batch="

register()
#: Read once, and before Hydra starts the application: it composes one thing at a time.
known = cache(catalog.read)


def with_descriptors(arguments: Sequence[str], available: Catalog) -> list[str]:
    """The arguments, with descriptors of layers (see kernels.benchdnn) in their normal form, as Hydra's grammar has it.

    Each becomes a member of Hydra's group `layer`, beside the files of conf/layer. The batch that one says becomes that
    of the point. Raises RequestError for a bad descriptor, or another batch.
    """
    made = []
    given = [word.removeprefix(_BATCH) for word in arguments if word.startswith(_BATCH)]
    said: dict[str, str] = {}
    for word in arguments:
        names = word.removeprefix(_LAYER).split(",") if word.startswith(_LAYER) else []
        for index, name in enumerate(names):
            if available.is_descriptor("layer", name):
                layer, batch = described(name)
                names[index] = layer["name"]
                ConfigStore.instance().store(group="layer", name=layer["name"], node=Layer(**layer))
                if batch is not None:
                    said[str(batch)] = name
        made.append(_LAYER + ",".join(names) if names else word)
    for its_own, name in said.items():
        if others := [other for other in given or said if other != its_own]:
            raise BadValueError(f"layer {name} has mb{its_own}, but the batch is {others[0]}; leave out mb")
    return made if given else made + [_BATCH + its_own for its_own in said]


def resolve(config: DictConfig, available: Catalog) -> dict[str, Any]:
    """The point as the measuring program takes it. Raises RequestError if there can be no such point."""
    chosen: dict[str, Any] = OmegaConf.to_container(config, resolve=True, enum_to_str=True)  # type: ignore[assignment]
    algorithm, numerics, layer, suite = (chosen[group] for group in ("algorithm", "numerics", "layer", "suite"))
    if numerics["name"] not in algorithm["numerics"]:
        raise NoPointError(
            f"algorithm {algorithm['name']} does not offer the numeric class {numerics['name']}; "
            f"it offers {', '.join(algorithm['numerics'])}"
        )
    if layer == available.groups["layer"].get(layer["name"]):  # a size given by hand is not changed by the suite
        layer = resolve_layer(available, suite["name"], layer["name"])
    for group in ("suite", "layer", "algorithm", "protocol", "numerics"):
        if not is_name(name := chosen[group]["name"]):
            raise BadValueError(f"{group}.name is {name}; a name may hold {NAMES}")
        check_numbers(chosen[group], f"{group}.")
    check_sources(algorithm)
    batch = positive("batch", chosen["batch"])
    check_problem(layer, batch, suite["name"])
    return {
        "experiment": "by_hand",
        "suite": suite["name"],
        "batch": batch,
        "layer": layer,
        "algorithm": algorithm,
        "numerics": numerics,
        "protocols": [chosen["protocol"]],
        "device": available.get("device", algorithm["backend"]),
    }


def describe(document: dict[str, Any]) -> str:
    """One line on a result."""
    row = document["rows"][0]
    name = f"{row['suite']} {row['layer']} batch {row['batch']} {row['algorithm']} {row['protocol']} {row['numerics']}"
    if row["status"] != "ok":
        return f"{name}: {row['status']}: {row['reason']}"
    return (
        f"{name}: {row['tflops']:.4g} TFLOPS, {row['time_ms']:.4g} ms "
        f"({row['time_ms_low']:.4g} to {row['time_ms_high']:.4g}, {row['samples']} samples, {row['stop_reason']}), "
        f"error_fro {row['error_fro']:.2g}"
    )


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
def main(config: DictConfig) -> None:
    """Measure the point and print the outcome."""
    try:
        point = resolve(config, known())
        there = find_gpus() if point["device"]["kind"] == "cuda" else []
        if point["device"]["kind"] == "cuda" and not there:
            name = point["algorithm"]["name"]
            raise GpuError(f"algorithm {name} needs an NVIDIA GPU, and none was found on this machine")
        check_writable(FOLDER, f"results go to {FOLDER}", "run it in another folder")
    except RequestError as error:
        sys.exit(f"error: {error}")
    path = f"{point['suite']}/{point['numerics']['name']}/batch{point['batch']}/{point['layer']['name']}"
    folder = FOLDER / path / point["algorithm"]["name"] / point["protocols"][0]["name"]
    # Held against what the machine can do, if a run has measured that.
    ceilings = FOLDER.with_name(there[0].slug if there else "cpu") / CEILINGS
    known_ceilings = ceilings if ceilings.exists() else None
    document = measure_point(point, folder / "result.json", folder / "log.txt", ceilings=known_ceilings)
    print(f"{describe(document)}\n  {folder}/result.json")


if __name__ == "__main__":
    try:
        sys.argv[1:] = with_descriptors(sys.argv[1:], known())
    except RequestError as error:
        sys.exit(f"error: {error}")
    main()

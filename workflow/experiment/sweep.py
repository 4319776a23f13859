"""A sweep: the product of an experiment's axes, less what no algorithm offers, every problem of it checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from kernels.build.sources import source_hash
from kernels.problem import ConvProblem
from workflow.experiment import winners
from workflow.experiment.catalog import OWN_LAYERS, Catalog, check_problem, own_suite, resolve_layer
from workflow.experiment.checks import check_numbers
from workflow.experiment.errors import (
    BackendError,
    BadValueError,
    NoPointError,
    UnknownNameError,
    listed,
    unknown,
)
from workflow.experiment.identity import group_identity
from workflow.experiment.points import Point, positive
from workflow.experiment.sources import check_sources


@dataclass(frozen=True)
class Selection:
    """An experiment, and the values that replace those of some of its axes. Empty lists are not allowed."""

    experiment: str
    axes: dict[str, list[str]]

    def to_json(self) -> str:
        return json.dumps({"experiment": self.experiment, **self.axes}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Selection:
        values = json.loads(text)
        return cls(values.pop("experiment"), values)


class Sweep:
    """The points of one selection and what they resolve to."""

    def __init__(self, catalog: Catalog, selection: Selection, device: str = "") -> None:
        """Expand and check every point. `device` is the slug of the GPU, whose stored winners the points use.

        Raises RequestError: UnknownNameError, BadValueError, BackendError, BadProblemError, NoPointError, and
        ConfigFileError or SourceError if the sources of an algorithm are not there.
        """
        self.catalog = catalog
        self.selection = selection
        self.experiment = catalog.get("experiment", selection.experiment)
        self.device = catalog.get("device", self.experiment["device"])
        self._check_of_models()
        self.protocols = {name: self._protocol(name) for name in self._axis("protocol")}
        for name, protocol in self.protocols.items():
            check_numbers(protocol, f"protocol {name} of experiment {selection.experiment}: ")
        self._products = [{}, *self._extras()]
        self._layers = {key: layer for product in self._products for key, layer in self._resolve_layers(product)}
        points = {point.path: point for point in self._expand()}
        # Suite by suite, so that a run that is stopped has measured whole ones.
        suites = list(dict.fromkeys(point.suite for point in points.values()))
        self.points = dict(sorted(points.items(), key=lambda item: suites.index(item[1].suite)))
        if not self.points and not self.experiment["models"]:
            raise NoPointError("nothing to measure: the chosen algorithms take none of the chosen layers")
        for name in dict.fromkeys(point.algorithm for point in self.points.values()):
            check_sources(catalog.get("algorithm", name))
        self.source_hash = cache(self._source_hash)
        self.tune_for(device)

    def _check_of_models(self) -> None:
        """An experiment of whole networks alone has no axis but those that choose them."""
        experiment = self.experiment
        if experiment["models"] and not experiment["algorithm"]:
            for axis in set(self.selection.axes) - {"suite", "batch"}:
                raise BadValueError(
                    f"experiment {experiment['name']} times whole networks, and {axis}= does not go with it; suite= "
                    f"and batch= choose, and conf/experiment/{experiment['name']}.yaml has the rest"
                )

    @property
    def is_part(self) -> bool:
        """Whether the request names values of some axis: a part of the experiment, or another one."""
        return bool(self.selection.axes)

    def anchors(self) -> Sweep | None:
        """The anchors of the experiment among the points, under the first protocol; None if there are none."""
        wanted = self.experiment["anchors"]
        points = [p for p in self.points.values() if p.layer in wanted["layer"] and p.algorithm in wanted["algorithm"]]
        if not points:
            return None
        first = {axis: [str(getattr(points[0], axis))] for axis in ("suite", "numerics", "batch")}
        chosen = {axis: list(dict.fromkeys(getattr(p, axis) for p in points)) for axis in ("layer", "algorithm")}
        protocol = {"protocol": [next(iter(self.protocols))]}
        sweep = Sweep(self.catalog, Selection(self.selection.experiment, {**first, **chosen, **protocol}))
        sweep._winners = self._winners
        return sweep

    def resolve(self, point: Point, stored: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The point as the measuring program takes it, where `stored` is the point of a result that is there."""
        return {
            "experiment": self.experiment["name"],
            "suite": point.suite,
            "batch": point.batch,
            "layer": self._layers[point.suite, point.layer],
            "algorithm": self._tuned(point),
            "numerics": self.catalog.get("numerics", point.numerics),
            "protocols": [self._protocol(name) for name in self._protocol_names(stored)],
            "device": self.device,
        }

    def tune_for(self, device: str) -> None:
        """Resolve points with the winners stored for the GPU with this slug (see workflow.experiment.winners)."""
        self._winners = winners.read(device)

    def problem(self, point: Point) -> ConvProblem:
        """The convolution of a point."""
        return ConvProblem.from_layer(self._layers[point.suite, point.layer], point.batch)

    def flops(self, suite: str, layer: str) -> int:
        """FLOPs of one image of a layer, whether it is measured or not."""
        return check_problem(resolve_layer(self.catalog, suite, layer), 1, suite).flops

    def _tuned(self, point: Point) -> dict[str, Any]:
        """The point's algorithm, with the stored winner for its problem among the parameters if there is one."""
        entry = self.catalog.get("algorithm", point.algorithm)
        schedule = self._winners.schedule(entry["tuned_as"], self.problem(point)) if entry["tuned_as"] else None
        return {**entry, "parameters": {**entry["parameters"], "schedule": schedule}} if schedule else entry

    def tunable(self) -> dict[tuple[str, ConvProblem], str]:
        """The algorithms of the sweep that are tuned, each with a problem -> the algorithm's module."""
        entries = {point: self.catalog.get("algorithm", point.algorithm) for point in self.points.values()}
        return {
            (entry["name"], self.problem(point)): entry["module"]
            for point, entry in entries.items()
            if entry["tuned_as"] == entry["name"]
        }

    def of_role(self, role: str) -> list[str]:
        """The algorithms of the sweep that have this role (see workflow.experiment.schema.Role)."""
        names = dict.fromkeys(point.algorithm for point in self.points.values())
        return [name for name in names if self.catalog.get("algorithm", name)["about"]["role"] == role]

    def of_class(self, numerics: str) -> list[str]:
        """The algorithms of the sweep that are measured in this class of arithmetic."""
        return list(dict.fromkeys(point.algorithm for point in self.points.values() if point.numerics == numerics))

    def untuned(self) -> list[str]:
        """The tuned algorithms of the sweep for some problem of which no winner is stored."""
        return sorted({name for name, problem in self.tunable() if not self._winners.schedule(name, problem)})

    def _protocol_names(self, stored: Mapping[str, Any] | None) -> list[str]:
        """The sweep's protocols, and those under which the stored point was measured as it would be now.

        So asking for fewer protocols measures nothing again, and asking for one more loses none.
        """
        kept = {entry["name"] for entry in (stored or {}).get("protocols", []) if self._is_current(entry)}
        # Always in one order, that of the experiment: the order is part of the point.
        names = dict.fromkeys([*self.experiment["protocol"], *self.catalog.names("protocol")])
        return [name for name in names if name in kept or name in self.protocols]

    def _is_current(self, protocol: Mapping[str, Any]) -> bool:
        name = protocol.get("name")
        if name is None or name not in self.catalog.groups["protocol"]:
            return False
        return group_identity("protocol", protocol) == group_identity("protocol", self._protocol(name))

    def _extras(self) -> list[dict[str, Any]]:
        """The extra products of which the request asks for something."""
        asked, found = self.selection.axes, []
        for extra in self.experiment["extra"]:
            product = {axis: values for axis, values in extra.items() if values}
            if "suite" in product and "suite" in asked:
                product["suite"] = [suite for suite in product["suite"] if suite in asked["suite"]]
            if all(product.values()) and not set(product) - {"suite"} & set(asked):
                found.append(product)
        return found

    def _source_hash(self, algorithm: str) -> str:
        """Hash of an algorithm's sources as they are now."""
        entry = self.catalog.get("algorithm", algorithm)
        return source_hash(entry["module"], entry["programs"])

    def _axis(self, axis: str, product: Mapping[str, Any] | None = None) -> list[Any]:
        """The values asked for, or else those of an extra product, or else the experiment's."""
        given, asked = (product or {}).get(axis), self.selection.axes.get(axis)
        # Of an extra product's suites those that are asked for are left already.
        values = (given or asked if axis == "suite" else asked or given) or self.experiment[axis]
        if axis == "batch":
            return [positive("batch", value) for value in values]
        if axis != "layer":  # which layers there are is a matter of the suites
            for value in values:
                if (axis, value) != ("suite", OWN_LAYERS) or not self._typed_layers():
                    self.catalog.get(axis, value)
        return list(values)

    def _typed_layers(self) -> list[str]:
        """The layers of the request that are descriptors, and no files of conf/."""
        asked = self.selection.axes.get("layer", [])
        return [layer for layer in asked if self.catalog.is_descriptor("layer", layer)]

    def _protocol(self, name: str) -> dict[str, Any]:
        sampling = {key: value for key, value in self.experiment["sampling"].items() if value is not None}
        return {**self.catalog.get("protocol", name), **sampling}

    def _suites(self, product: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The suites of a product; with that of the layers that no suite lists, if one of these is wanted."""
        names = self._axis("suite", product)
        suites = {name: self.catalog.get("suite", name) for name in names if name != OWN_LAYERS}
        listed = {layer for suite in suites.values() for layer in suite["layers"]}
        typed = [layer for layer in self._typed_layers() if layer not in listed]
        own = self.catalog.groups["suite"].get(OWN_LAYERS, own_suite([]))["layers"] + typed
        of_own = "suite" not in self.selection.axes and set(self._axis("layer", product)) & set(own)
        if OWN_LAYERS in names or of_own:
            suites[OWN_LAYERS] = own_suite(own)
        return suites

    def _resolve_layers(self, product: Mapping[str, Any]) -> list[tuple[tuple[str, str], dict[str, Any]]]:
        """(suite, layer) of a product, each with the layer's sizes."""
        suites = self._suites(product)
        offered = list(dict.fromkeys(layer for suite in suites.values() for layer in suite["layers"]))
        wanted = self._axis("layer", product) or offered
        for layer in wanted:
            if layer not in offered:
                raise UnknownNameError(self._no_layer(layer, list(suites), offered))
        return [
            ((name, layer), resolve_layer(self.catalog, name, layer))
            for name, suite in suites.items()
            for layer in suite["layers"]
            if layer in wanted
        ]

    def _no_layer(self, layer: str, suites: list[str], offered: list[str]) -> str:
        """That a layer is in none of the suites, and which suites it is in."""
        message = unknown("layer", layer, offered, f" in suite {' or '.join(suites)}")
        others = [name for name, suite in self.catalog.groups["suite"].items() if layer in suite["layers"]]
        if others:
            return f"{message}\n{layer} is in suite {', '.join(others)}: add suite={others[0]}"
        if self.catalog.is_descriptor("layer", layer):
            return f"{message}\nleave out suite= to measure it all the same, as a layer of the suite {OWN_LAYERS}"
        return message

    def _expand(self) -> Iterable[Point]:
        for product in self._products:
            if not self._axis("algorithm", product):  # of whole networks alone
                continue
            numerics = self._axis("numerics", product)
            layers = [key for key, _ in self._resolve_layers(product)]
            algorithms = [self._algorithm(name) for name in self._axis("algorithm", product)]
            offers = [(n, a) for n in numerics for a in algorithms if n in a["numerics"]]
            if not offers:
                offered = sorted({name for algorithm in algorithms for name in algorithm["numerics"]})
                raise NoPointError(
                    f"nothing to measure: no chosen algorithm offers the numeric class {', '.join(numerics)}\n"
                    f"those that the chosen algorithms offer: {', '.join(offered)}"
                )
            for suite, layer in layers:
                for batch in self._batches(suite, product):
                    problem = check_problem(self._layers[suite, layer], batch, suite)
                    for number, algorithm in offers:
                        if not self.experiment["only_taken"] or takes(algorithm["takes"], problem):
                            yield Point(suite, number, batch, layer, algorithm["name"])

    def _batches(self, suite: str, product: Mapping[str, Any]) -> list[int]:
        """The batches at which a suite is measured: those of the product, or else the suite's own."""
        if batches := self._axis("batch", product):
            return batches
        own = self.catalog.groups["suite"].get(suite, own_suite([]))["batch"]
        if own is None:
            raise BadValueError(
                f"experiment {self.experiment['name']} measures each suite at its own batch, and suite {suite} says "
                "none; give batch=, such as batch=64"
            )
        return [own]

    def _algorithm(self, name: str) -> dict[str, Any]:
        algorithm = self.catalog.get("algorithm", name)
        backend = self.device["kind"]
        if algorithm["backend"] != backend:
            groups = self.catalog.groups
            same = [each for each, entry in groups["algorithm"].items() if entry["backend"] == backend]
            other = [each for each, entry in groups["experiment"].items() if entry["device"] == algorithm["backend"]]
            raise BackendError(
                f"algorithm {name!r} runs on {algorithm['backend']}, but experiment {self.experiment['name']} "
                f"measures on {backend}\nalgorithms that run on {backend}:\n{listed(same)}\n"
                f"experiments that measure on {algorithm['backend']}: {', '.join(other)}"
            )
        return algorithm


def takes(taken: Mapping[str, Any], problem: ConvProblem) -> bool:
    """Whether what an algorithm's file says of the layers that it takes allows for a problem."""
    groups = {
        "any": True,
        "one": problem.groups == 1,
        "several": problem.groups > 1 and not problem.is_depthwise,
        "depthwise": problem.is_depthwise,
    }
    axes = (problem.rows, problem.columns)
    return (
        groups[taken["groups"]]
        and (not taken["kernel"] or any({side} == {axis.kernel for axis in axes} for side in taken["kernel"]))
        and (taken["stride"] is None or max(axis.stride for axis in axes) <= taken["stride"])
        and (taken["dilation"] is None or max(axis.dilation for axis in axes) <= taken["dilation"])
    )

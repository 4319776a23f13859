"""The points of a sweep: the product of its axes, less what no algorithm offers, each checked as a convolution."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kernels.problem import ConvProblem, ProblemError
from workflow.catalog import Catalog
from workflow.errors import (
    BackendError,
    BadProblemError,
    BadValueError,
    NoPointError,
    UnknownNameError,
    listed,
    unknown,
)

#: The axes that a request may narrow or widen, in the order of a point's path.
AXES = ("suite", "numerics", "batch", "layer", "algorithm", "protocol")


class Point(NamedTuple):
    """One algorithm on one layer of one suite at one batch in one class of arithmetic, by names."""

    suite: str
    numerics: str
    batch: int
    layer: str
    algorithm: str

    @property
    def path(self) -> str:
        """Where its result lies, below the experiment's folder."""
        return f"{self.suite}/{self.numerics}/batch{self.batch}/{self.layer}/{self.algorithm}"


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

    def __init__(self, catalog: Catalog, selection: Selection) -> None:
        """Expand and check every point.

        Raises UnknownNameError, BadValueError, BackendError, BadProblemError or NoPointError.
        """
        self.catalog = catalog
        self.selection = selection
        self.experiment = catalog.get("experiment", selection.experiment)
        self.device = catalog.get("device", self.experiment["device"])
        self.protocols = {name: self._protocol(name) for name in self._axis("protocol")}
        self._layers = self._resolve_layers()
        self.points = {point.path: point for point in self._expand()}

    def resolve(self, point: Point, stored: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The point as the measuring program takes it, where `stored` is the point of a result that is there."""
        return {
            "experiment": self.experiment["name"],
            "suite": point.suite,
            "batch": point.batch,
            "layer": self._layers[point.suite, point.layer],
            "algorithm": self.catalog.get("algorithm", point.algorithm),
            "numerics": self.catalog.get("numerics", point.numerics),
            "protocols": [self._protocol(name) for name in self._protocol_names(stored)],
            "device": self.device,
        }

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
        return name in self.catalog.groups["protocol"] and protocol == self._protocol(name)

    def _axis(self, axis: str) -> list[Any]:
        """The values asked for, or else the experiment's."""
        values = self.selection.axes.get(axis) or self.experiment[axis]
        if axis == "batch":
            return [positive("batch", value) for value in values]
        if axis != "layer":  # which layers there are is a matter of the suites
            for value in values:
                self.catalog.get(axis, value)
        return list(values)

    def _protocol(self, name: str) -> dict[str, Any]:
        sampling = {key: value for key, value in self.experiment["sampling"].items() if value is not None}
        return {**self.catalog.get("protocol", name), **sampling}

    def _resolve_layers(self) -> dict[tuple[str, str], dict[str, Any]]:
        suites = {name: self.catalog.get("suite", name) for name in self._axis("suite")}
        offered = list(dict.fromkeys(layer for suite in suites.values() for layer in suite["layers"]))
        wanted = self._axis("layer") or offered
        for layer in wanted:
            if layer not in offered:
                raise UnknownNameError(unknown("layer", layer, offered, f" in suite {' or '.join(suites)}"))
        return {
            (name, layer): resolve_layer(self.catalog, name, layer)
            for name, suite in suites.items()
            for layer in suite["layers"]
            if layer in wanted
        }

    def _expand(self) -> Iterable[Point]:
        batches = self._axis("batch")
        for (suite, layer), batch in itertools.product(self._layers, batches):
            check_problem(self._layers[suite, layer], batch, suite)
        numerics = self._axis("numerics")
        algorithms = [self._algorithm(name) for name in self._axis("algorithm")]
        offers = [(n, a["name"]) for n in numerics for a in algorithms if n in a["numerics"]]
        if not offers:
            offered = sorted({name for algorithm in algorithms for name in algorithm["numerics"]})
            raise NoPointError(
                f"nothing to measure: no chosen algorithm offers the numeric class {', '.join(numerics)}\n"
                f"those that the chosen algorithms offer: {', '.join(offered)}"
            )
        for (suite, layer), batch, (number, algorithm) in itertools.product(self._layers, batches, offers):
            yield Point(suite, number, batch, layer, algorithm)

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


def resolve_layer(catalog: Catalog, suite: str, layer: str) -> dict[str, Any]:
    """A layer's sizes in one suite."""
    return {**catalog.get("layer", layer), **catalog.get("suite", suite)["changes"].get(layer, {})}


def check_problem(layer: Mapping[str, Any], batch: int, suite: str) -> ConvProblem:
    """The convolution of a layer. Raises BadProblemError where there is none."""
    try:
        return ConvProblem(batch=batch, **{key: value for key, value in layer.items() if key != "name"})
    except ProblemError as error:
        name = layer["name"]
        raise BadProblemError(
            f"layer {name} of suite {suite} at batch {batch}: {error}\n"
            f"correct conf/layer/{name}.yaml, or what conf/suite/{suite}.yaml changes in it"
        ) from None


def positive(name: str, value: object) -> int:
    """A positive whole number. Raises BadValueError."""
    text = str(value)
    if not text.isdecimal() or int(text) < 1:
        raise BadValueError(f"{name} is {text}; it must be a positive whole number, such as {name}=64")
    return int(text)

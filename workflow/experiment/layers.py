"""A layer of a suite, and the convolution problem that it is at a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernels.problem import ConvProblem, ProblemError
from workflow.experiment.catalog import Catalog
from workflow.experiment.errors import BadProblemError


def resolve_layer(catalog: Catalog, suite: str, layer: str) -> dict[str, Any]:
    """A layer's sizes in one suite, which may change some of them."""
    return {**catalog.get("layer", layer), **catalog.get("suite", suite)["changes"].get(layer, {})}


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

"""What of a resolved point decides its result: two points with the same identity would be measured in the same way.

A result holds the whole resolved point. Compared are fewer of its fields: not those that only describe an algorithm,
nor those for which the hash of its sources stands, nor any field at its schema's default. So a new field with a default
leaves every older result valid, and a default that changes does not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any

from workflow.experiment.schema import GROUPS

#: Fields of an algorithm that decide nothing: `about` is for people, `takes` for planning, and the source hash covers
#: the code.
_NOT_COMPARED = {"algorithm": ("about", "takes", "module", "programs")}


def identity(point: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a resolved point (see workflow.experiment.points.Sweep.resolve) that decide its result."""
    compared: dict[str, Any] = {}
    for key, value in point.items():
        if key == "protocols":
            compared[key] = [group_identity("protocol", entry) for entry in value]
        elif key in GROUPS and isinstance(value, Mapping):
            compared[key] = group_identity(key, value)
        else:
            compared[key] = value
    return compared


def group_identity(group: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The same of one entry of a group of conf/."""
    defaults, ignored = _defaults(GROUPS[group]), _NOT_COMPARED.get(group, ())
    return {
        name: value
        for name, value in entry.items()
        if name not in ignored and not (name in defaults and value == defaults[name])
    }


@cache
def _defaults(schema: type) -> dict[str, Any]:
    """Field -> its default, as it stands in a resolved point."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(schema):
        make: Callable[[], Any] | Any = field.default_factory
        value = field.default if make is dataclasses.MISSING else make()
        if value is not dataclasses.MISSING and value != "???":  # OmegaConf's mark of a field without a default
            found[field.name] = value.value if isinstance(value, Enum) else value
    return found

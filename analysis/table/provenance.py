"""The provenance as lines of text. Imports no pandas."""

from collections.abc import Mapping
from typing import Any


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Lay out nested objects as dotted names and texts; lists are joined, and null becomes "not recorded"."""
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            flat[f"{prefix}{key}"] = ", ".join(str(item) for item in value)
        else:
            flat[f"{prefix}{key}"] = "not recorded" if value is None else str(value)
    return flat

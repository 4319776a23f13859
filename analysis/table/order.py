"""Natural order of names. Imports no pandas."""

import re
from functools import cache
from typing import Any


@cache
def natural_key(name: str) -> tuple[Any, ...]:
    """Order names by their numbers as numbers: conv2 before conv10."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part)

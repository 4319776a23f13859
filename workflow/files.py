"""Writing JSON documents whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analysis.files import write_atomically


def write_json(path: Path, document: Any) -> None:
    """Write `document` to `path` atomically, as indented JSON. NaN is refused: it is no JSON, and no measurement."""
    write_atomically(path, json.dumps(document, indent=1, allow_nan=False) + "\n")

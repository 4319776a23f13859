"""Writing JSON documents whole or not at all, and rows as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from analysis.files import write_atomically


def write_json(path: Path, document: Any) -> None:
    """Write `document` to `path` atomically, as indented JSON. NaN is refused: it is no JSON, and no measurement."""
    write_atomically(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def csv_text(kind: type, rows: Iterable[Any]) -> str:
    """Rows of one dataclass as CSV, one column for each of its fields."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(kind)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()

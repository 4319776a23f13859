"""Writing files so that a reader sees either the old file or the whole new one, also after a kill or a power cut."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` to `path` through a temporary file in the same folder, synced before it is renamed.

    Raises OSError where the folder cannot be made or written; no temporary file is left then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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

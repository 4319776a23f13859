"""Hashes of the sources that jobs rest on: a job is repeated when the meaning of its program changes, not its date."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from pathlib import Path

from kernels.build.sources import digest, normalized_python, source_hash
from workflow.experiment.catalog import ROOT, Catalog
from workflow.harness.identity import harness_hash


def current_sources(catalog: Catalog) -> str:
    """Today's hashes, of every algorithm and of the measuring program, as JSON: what a report compares results with.

    An algorithm whose sources are not there, or are no Python, has none: no run stops for one that it does not measure.
    """
    algorithms = {}
    for name, entry in catalog.groups["algorithm"].items():
        with suppress(OSError, SyntaxError, ValueError, KeyError):
            algorithms[name] = source_hash(entry["module"], entry["programs"])
    return json.dumps({"algorithms": algorithms, "harness": harness_hash()}, indent=1, sort_keys=True)


def analysis_hash() -> str:
    """Hash of all that decides what is drawn and written of a results table, but the table itself."""
    return code_hash("analysis", "conf/algorithm")


@cache
def code_hash(*parts: str) -> str:
    """Hash of files and of all that folders hold, by their paths in the repository, without archives.

    Python counts by its meaning; of any other file every byte does.
    """
    files = [file for part in parts for file in _files(ROOT / part)]
    return digest(
        normalized_python(file.read_text()) if file.suffix == ".py" else file.read_bytes().hex() for file in files
    )


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = [
        file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts and _is_source(file)
    ]
    if not found:
        raise FileNotFoundError(f"{path} holds no file whose meaning a job could rest on")
    return sorted(file for file in found if "archive" not in file.relative_to(ROOT).parts)


def _is_source(file: Path) -> bool:
    """Whether a file is none that an editor leaves beside the one it works on."""
    return not file.name.startswith((".", "#")) and not file.name.endswith("~")

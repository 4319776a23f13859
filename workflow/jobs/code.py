"""Hashes of the sources that jobs rest on: a job is repeated when the meaning of its program changes, not its date."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from functools import cache
from pathlib import Path

from kernels.build.sources import digest, folder_hash, normalized_python, source_hash
from workflow.experiment.catalog import ROOT, Catalog
from workflow.experiment.errors import SourceError
from workflow.experiment.sources import check_python
from workflow.harness.identity import harness_hash
from workflow.networks.backends import BACKENDS

#: What times a forward pass, beside the kernels and the backend's switches.
_TIMING = ("workflow/networks/forward.py", "workflow/networks/timed.py", "workflow/machine/cores.py")
#: The operator, and how its modules name the families of algorithms that they import.
_MODEL = ROOT / "kernels" / "model"
_FAMILY = re.compile(r"families\.(\w+)")


def current_sources(catalog: Catalog) -> str:
    """Today's hashes as JSON, with which a report compares results: of every algorithm, every backend of whole networks
    and the measuring program.

    An algorithm whose sources are not there, or are no Python, has none: no run stops for one that it does not measure.
    """
    algorithms = {}
    for name, entry in catalog.groups["algorithm"].items():
        with suppress(OSError, SyntaxError, ValueError, KeyError):
            algorithms[name] = source_hash(entry["module"], entry["programs"])
    backends = {}
    for name in BACKENDS:
        with suppress(OSError, SyntaxError, ValueError, SourceError):
            backends[name] = backend_hash(catalog, name)
    hashes = {"algorithms": algorithms, "backends": backends, "harness": harness_hash()}
    return json.dumps(hashes, indent=1, sort_keys=True)


def backend_hash(catalog: Catalog, name: str) -> str:
    """Hash of what computes a forward pass with a backend, and times it: this project's sources, and its switches.

    Raises SourceError if a source is missing or no Python.
    """
    backend = BACKENDS[name]
    parts = [code_hash(*_TIMING), repr(backend)]
    return digest([*parts, _kernels_hash(catalog)] if backend.numerics else parts)


def _kernels_hash(catalog: Catalog) -> str:
    """Hash of the operator, and of the algorithms of the modules that it uses, with their programs."""
    files = sorted(_MODEL.glob("[!.]*.py"))
    modules = sorted({name for path in files for name in _FAMILY.findall(path.read_text())})
    programs: dict[str, set[str]] = {f"kernels.families.{name}": set() for name in modules}
    for entry in catalog.groups["algorithm"].values():
        if entry["module"] in programs:
            programs[entry["module"]] |= set(entry["programs"])
    for module in programs:
        check_python(module)
    return digest(
        [folder_hash(_MODEL), *(source_hash(module, tuple(sorted(used))) for module, used in programs.items())]
    )


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

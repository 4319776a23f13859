"""Whether the sources of an algorithm of conf/ are there: its module, its class in it, its CUDA programs.

Only those of a run's own algorithms are checked: what is wrong with another one stops no run.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kernels.build.programs import CUDA_FOLDER
from kernels.build.sources import module_files, program_files, programs
from workflow.experiment.errors import ConfigFileError, SourceError, nearest, unknown

ROOT = CUDA_FOLDER.parents[1]


def check_sources(entry: Mapping[str, Any]) -> None:
    """Raises ConfigFileError or SourceError, naming the files, unless an algorithm could be loaded and compiled."""
    where, module = f"conf/algorithm/{entry['name']}.yaml", str(entry["module"])
    file = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    if not file.is_file():
        raise ConfigFileError(
            f"{where}: module is {module}, but there is no file {os.path.relpath(file, ROOT)}"
            f"{nearest(module, _modules())}"
        )
    check_python(module)
    registered = _registered(file)
    if registered is not None and entry["name"] not in registered:
        raise ConfigFileError(
            f"{where}: {os.path.relpath(file, ROOT)} has no class with @register({entry['name']!r}); "
            f"registered there: {', '.join(registered) or 'nothing'}"
        )
    for program in entry["programs"]:
        if program not in programs():
            message = unknown("CUDA program", program, programs(), " in programs")
            raise ConfigFileError(f"{where}: {message}\n(a new one is a file kernels/cuda/{program}.cu)")
    check_programs(entry["programs"])


def check_python(module: str) -> None:
    """Raises SourceError if a module of kernels/, or one that it imports, is missing or is no Python."""
    try:
        module_files(module)
    except SyntaxError as error:
        raise SourceError(f"{_faulty(module, error)}: {error.msg}; correct it there") from None
    except UnicodeDecodeError:
        raise SourceError(f"{module} is not UTF-8, or imports a module that is not; save it in that encoding") from None
    except OSError as error:
        missing = os.path.relpath(str(error.filename), ROOT)
        raise SourceError(f"{module} imports from {missing}, and there is no such file; correct the import") from None


def check_programs(names: Iterable[str]) -> None:
    """Raises SourceError if a file of a CUDA program is missing."""
    for program in names:
        try:
            program_files(program)
        except OSError as error:
            missing = os.path.relpath(str(error.filename), ROOT)
            raise SourceError(
                f"CUDA program {program} needs {missing}: {error.strerror}; write it or correct the name"
            ) from None


def _modules() -> list[str]:
    """Where the algorithms are."""
    return [
        f"kernels.{room}.{path.stem}"
        for room in ("families", "baselines")
        for path in sorted((ROOT / "kernels" / room).glob("[!_.]*.py"))
    ]


def _faulty(module: str, error: SyntaxError) -> str:
    """FILE:LINE of a syntax error in a module or in one that it imports."""
    for path in sorted((ROOT / "kernels").rglob("[!.]*.py")):
        try:
            ast.parse(path.read_text())
        except SyntaxError as other:
            if (other.lineno, other.msg) == (error.lineno, error.msg):
                return f"{os.path.relpath(path, ROOT)}:{error.lineno}"
        except ValueError:
            continue
    return f"{module}:{error.lineno}"


def _registered(file: Path) -> list[str] | None:
    """The names that a module registers; None if it computes some of them."""
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "register":
            first = node.args[0] if node.args else None
            if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
                return None
            names.append(first.value)
    return names

"""Finding a PyTorch model by its name: MODULE:CALLABLE or FILE.py:CALLABLE."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from workflow.experiment.errors import nearest
from workflow.networks.errors import ModelError, NotInstalledError
from workflow.networks.trace import first_line


def make(name: str, arguments: Mapping[str, Any], device: str) -> torch.nn.Module:
    """The model that the callable `name` makes on a device, cpu or meta. Raises ModelError."""
    module, _, attribute = name.rpartition(":")
    if not module or not attribute:
        raise ModelError(f"{name} names no model; write MODULE:CALLABLE, FILE.py:CALLABLE or FILE.onnx")
    found: Any = _load(module)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ModelError(f"{module} has no {part}{nearest(part, dir(found))}")
        found = getattr(found, part)
    if not isinstance(found, torch.nn.Module):
        if not callable(found):
            raise ModelError(f"{name} is a {type(found).__name__}, not a model or a callable that makes one")
        found = _call(found, name, arguments, device)
    if not isinstance(found, torch.nn.Module):
        raise ModelError(f"{name} makes a {type(found).__name__}, not a torch.nn.Module")
    return found.to(device)


def type_of(kind: str) -> torch.dtype:
    """PyTorch's type of an input, by its name. Raises ModelError."""
    dtype = getattr(torch, kind, None)
    if not isinstance(dtype, torch.dtype):
        raise ModelError(f"--input: {kind} is no type of PyTorch; write float32, int64 or bool")
    return dtype


def source_of(name: str) -> str:
    """Where a model comes from: its package and version, or its file and the file's SHA-256."""
    module = name.rpartition(":")[0]
    top = module.partition(".")[0]
    for distribution in importlib.metadata.packages_distributions().get(top, []):
        return f"{distribution} {importlib.metadata.version(distribution)}"
    file = Path(module if module.endswith(".py") else sys.modules[module].__file__ or "")
    return file_source(file)


def file_source(file: Path) -> str:
    """A file's name and SHA-256."""
    return f"{file.name}, SHA-256 {hashlib.sha256(file.read_bytes()).hexdigest()}"


def _load(module: str) -> ModuleType:
    try:
        if not module.endswith(".py"):
            return importlib.import_module(module)
        path = Path(module)
        if not path.is_file():
            raise ModelError(f"there is no file {module}")
        sys.path.insert(0, str(path.parent.resolve()))  # it may import what lies beside it
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec and spec.loader
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = loaded
        spec.loader.exec_module(loaded)
        return loaded
    except ModuleNotFoundError as error:
        missing = str(error.name)
        if missing.partition(".")[0] == "torchvision":
            raise NotInstalledError(
                f"torchvision is not installed; python -m pip install torchvision=={_torchvision_version()} gets the "
                "one that goes with this PyTorch"
            ) from None
        needed = "" if module == missing or module.startswith(f"{missing}.") else f", which {module} imports"
        raise ModelError(f"there is no module {missing}{needed}; install its package, or name a file") from None
    except ModelError:
        raise
    except Exception as error:  # whatever a module of a user may raise
        raise ModelError(f"{module} cannot be imported: {first_line(error)}") from error


def _torchvision_version() -> str:
    """The release of torchvision for PyTorch's: 0.28 for 2.13, and both go on alike."""
    minor = int(torch.__version__.split(".")[1])
    return f"0.{minor + 15}.*"


def _call(found: Any, name: str, arguments: Mapping[str, Any], device: str) -> Any:
    try:
        with torch.device(device):
            return found(**arguments)
    except Exception as error:  # whatever a constructor of a user may raise
        hint = "; to make it with data, add --device cpu" if device == "meta" and "meta" in str(error) else ""
        said = first_line(error)
        if isinstance(error, TypeError) and "argument" in said:
            hint = "; give what it takes by --arguments"
        raise ModelError(f"{name} makes no model: {said}{hint}") from error

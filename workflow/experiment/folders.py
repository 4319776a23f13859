"""The folder of results: whether it can be one, told before anything is written."""

from __future__ import annotations

import os
from pathlib import Path

from workflow.experiment.errors import BadValueError

ROOT = Path(__file__).resolve().parents[2]
#: What the program itself consists of.
_OWN = ("analysis", "conf", "docs", "kernels", "profiles", "tests", "workflow", ".git", ".snakemake", ".venv")


def results_folder(name: str) -> str:
    """The folder of results called `name`. Raises BadValueError if it can be none."""
    results = os.path.normpath(os.path.expanduser(name))
    if not set(results).isdisjoint("{}"):
        raise BadValueError(f"results is {name}; the name of that folder must not hold braces")
    check_writable(results, f"results is {name}", "name another folder: --config results=DIR")
    path = Path(results).resolve()
    if path in (ROOT, Path(path.anchor)) or any(path.is_relative_to(ROOT / own) for own in _OWN):
        raise BadValueError(
            f"results is {name}, which is not a folder for results alone; name one of its own, such as results=results"
        )
    return results


def check_writable(folder: str | Path, said: str, way_out: str = "name another folder") -> None:
    """Raises BadValueError (`said` begins it, `way_out` ends it) unless `folder` can be made or written."""
    path = Path(folder).absolute()
    while not os.path.exists(path):
        if os.path.islink(path):
            target = os.readlink(path)
            raise BadValueError(f"{said}, but {_short(path)} is a link to {target}, which is not there; {way_out}")
        path = path.parent
    if not os.path.isdir(path):
        raise BadValueError(f"{said}, but {_short(path)} is a file; {way_out}")
    if not os.access(path, os.W_OK | os.X_OK):
        raise BadValueError(f"{said}, but nothing can be written in {_short(path)}; {way_out}")


def _short(path: Path) -> str:
    """A path below the working directory as one writes it there."""
    if path == Path.cwd():
        return "the working directory"
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)

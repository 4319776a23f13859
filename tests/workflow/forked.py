"""Python processes that need not import Snakemake and pandas again: they are forked from one that has.

That takes a second each time, and the tests run Snakemake a hundred times. What is forked has the command line, the
working directory and the environment of a process of its own, sitecustomize included, and nothing of this project.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import site
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO

_ONE_AT_A_TIME = Lock()


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run `python -m` with these arguments; its status (as subprocess has it) and what it printed, errors too."""
    with _ONE_AT_A_TIME, tempfile.NamedTemporaryFile() as output:
        asked, answers = _server()
        request = {"arguments": arguments, "folder": str(folder), "environment": environment, "output": output.name}
        asked.write(json.dumps(request) + "\n")
        asked.flush()
        status = int(answers.readline())
        return status, Path(output.name).read_text()


@cache
def _server() -> tuple[IO[str], IO[str]]:
    """The process that forks, one for each process of pytest: requests to it, and its answers."""
    # One thread: a fork has no other.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, "-P", str(Path(__file__).resolve())]
    process = subprocess.Popen(
        command, cwd="/", env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin and process.stdout
    atexit.register(process.wait)
    atexit.register(process.stdin.close)
    return process.stdin, process.stdout


def _serve() -> dict[str, object] | None:
    """Fork for each request and answer with the status; returns in what is forked, the request, and at the end."""
    import hydra  # noqa: F401
    import pandas  # noqa: F401
    import snakemake.cli  # noqa: F401

    gc.freeze()
    for line in sys.stdin:
        if (process := os.fork()) == 0:
            return dict(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
    return None


def _become(arguments: list[str], folder: str, environment: dict[str, str], output: str) -> None:
    """Go on as `python -m` with these arguments."""
    nothing, written = os.open(os.devnull, os.O_RDONLY), os.open(output, os.O_WRONLY)
    for number, stream in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(number, stream)
    os.close(nothing)
    os.close(written)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [folder, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.modules.pop("sitecustomize", None)
    site.execsitecustomize()

    module, *sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__" and (_request := _serve()) is not None:
    _become(**_request)  # type: ignore[arg-type]

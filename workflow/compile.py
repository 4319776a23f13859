"""Compiles one CUDA program for one architecture; needs no GPU.

python -m workflow.compile --program im2win --architecture sm_90a --cubin im2win.cubin --report im2win.json
"""

from __future__ import annotations

import argparse
import sys
from hashlib import sha256
from pathlib import Path

from analysis.table.files import write_atomically, write_json
from kernels.build.compile import CompileError, compile_program
from kernels.build.programs import PROGRAMS


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.compile", description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True, choices=PROGRAMS)
    parser.add_argument("--architecture", required=True, help="as NVRTC names it, e.g. sm_90a")
    parser.add_argument("--cubin", required=True, type=Path)
    parser.add_argument("--report", required=True, type=Path)
    options = parser.parse_args(arguments)
    try:
        cubin, report = compile_program(options.program, options.architecture)
    except CompileError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_atomically(options.cubin, cubin)
    write_json(options.report, report | {"sha256": sha256(cubin).hexdigest()})
    return 0


if __name__ == "__main__":
    sys.exit(main())

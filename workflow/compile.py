"""Compiles one CUDA program for one architecture; needs no GPU.

python -m workflow.compile --program im2win --architecture sm_90a [--cubin FILE] [--report FILE]

Writes the compiled program and, as JSON, what the compiler said of every kernel: into results/by_hand/kernels if no
files are named. Prints what the kernels take.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from analysis.table.files import write_atomically, write_json
from kernels.build.architectures import normalize
from kernels.build.compile import CompileError, compile_program
from kernels.build.programs import PROGRAMS
from workflow.experiment.errors import RequestError, unknown
from workflow.experiment.folders import check_writable
from workflow.experiment.sources import check_programs

FOLDER = Path("results/by_hand/kernels")


def describe(report: Mapping[str, Any]) -> str:
    """One line on a compiled program."""
    kernels = report["kernels"]
    registers = max(kernel["registers"] for kernel in kernels)
    spilling = sum(kernel["spill_store_bytes"] + kernel["spill_load_bytes"] > 0 for kernel in kernels)
    return (
        f"{report['program']} for {report['architecture']}: kernels: {len(kernels)}, registers: up to {registers}, "
        f"kernels that spill: {spilling}; NVRTC {report['nvrtc']}, {report['seconds']:.1f} s"
    )


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.compile", description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True, help="a file of kernels/cuda, without its ending")
    parser.add_argument("--architecture", required=True, help="as NVRTC names it, e.g. sm_90a")
    parser.add_argument("--cubin", type=Path, help=f"where the program goes ({FOLDER}/ARCHITECTURE/PROGRAM.cubin)")
    parser.add_argument("--report", type=Path, help="where the compiler's report goes (the same, with .json)")
    options = parser.parse_args(arguments)
    program = options.program
    try:
        architecture = normalize(options.architecture)
        cubin_file = options.cubin or FOLDER / architecture / f"{program}.cubin"
        report_file = options.report or cubin_file.with_suffix(".json")
        if program not in PROGRAMS:
            raise RequestError(
                f"{unknown('CUDA program', program, PROGRAMS)}\n(a new one is a file kernels/cuda/{program}.cu)"
            )
        check_programs([program])
        for file in (cubin_file, report_file):
            check_writable(file.parent, f"{file} is to be written")
        cubin, report = compile_program(program, architecture)
    except (RequestError, CompileError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_atomically(cubin_file, cubin)
    write_json(report_file, report | {"sha256": sha256(cubin).hexdigest()})
    print(f"{describe(report)}\n  {cubin_file}\n  {report_file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

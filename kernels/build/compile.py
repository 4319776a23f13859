"""Compiles the CUDA programs with NVRTC, through `cuda.core`. Needs no GPU and no driver.

Each compile leaves a cubin and a report: what NVRTC and its assembler said of every kernel, and how often the machine
instructions that matter occur in it.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from .programs import COMPILE_OPTIONS, CUDA_FOLDER, DEFINITIONS, PROGRAMS

#: Machine instructions counted in the report: arithmetic, and how shared, global and local memory are accessed.
COUNTED = ("FFMA", "HMMA", "HGMMA", "LDG", "STG", "LDS", "STS", "LDL", "STL", "LDGSTS", "BAR")

_KERNEL = re.compile(r"Compiling entry function '(\w+)'")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


class CompileError(Exception):
    """NVRTC rejected a program; the message holds the compiler's own log."""


def compile_program(program: str, architecture: str, expressions: tuple[str, ...] = ()) -> tuple[bytes, dict[str, Any]]:
    """The cubin of `program` (a key of PROGRAMS) for `architecture` (as `sm_90a`), and the report on it.

    It has all of the program's kernels, or only those that `expressions` name.
    Raises CompileError with the compiler's log if NVRTC rejects the source or the architecture.
    """
    from cuda.bindings import nvrtc
    from cuda.core import Program, ProgramOptions

    expressions = expressions or PROGRAMS[program]
    log = io.StringIO()
    started = time.perf_counter()
    try:
        options = ProgramOptions(
            name=f"{program}.cu",
            arch=architecture,
            ptxas_options="-v",
            no_cache=True,  # where there is a driver NVRTC keeps a cache, and a hit says nothing of registers
            include_path=str(CUDA_FOLDER),
            define_macro=[(name, str(value)) for name, value in DEFINITIONS.items()],
            **COMPILE_OPTIONS,
        )
        source = (CUDA_FOLDER / f"{program}.cu").read_text()
        code = Program(source, "c++", options).compile("cubin", name_expressions=expressions, logs=log)
    except Exception as error:
        raise CompileError(f"{program}.cu does not compile for {architecture}: {error}\n{log.getvalue()}") from error
    symbols = {expression: _text(symbol) for expression, symbol in code.symbol_mapping.items()}
    cubin = bytes(code.code)
    _, major, minor = nvrtc.nvrtcVersion()
    resources = parse_resources(log.getvalue())
    if missing := set(symbols.values()) - set(resources):
        raise CompileError(f"{program}.cu: the assembler reported nothing on {', '.join(sorted(missing))}")
    instructions = count_instructions(cubin)
    report = {
        "program": program,
        "architecture": architecture,
        "nvrtc": f"{major}.{minor}",
        "options": COMPILE_OPTIONS,
        "seconds": round(time.perf_counter() - started, 3),
        # Where matrix products of a warpgroup wait for each other, say.
        "warnings": [line for line in log.getvalue().splitlines() if "Potential Performance Loss" in line],
        "kernels": [
            {
                "expression": expression,
                "symbol": symbols[expression],
                **resources[symbols[expression]],
                "instructions": instructions.get(symbols[expression], {}),
            }
            for expression in expressions
        ],
    }
    return cubin, report


def _text(symbol: str | bytes) -> str:
    return symbol.decode() if isinstance(symbol, bytes) else symbol


def parse_resources(log: str) -> dict[str, dict[str, int]]:
    """Registers and bytes of stack, spills and static shared memory of every kernel, from the assembler's log."""
    resources: dict[str, dict[str, int]] = {}
    for section in re.split(r"(?=Compiling entry function)", log):
        kernel, stack, used = _KERNEL.search(section), _STACK.search(section), _USED.search(section)
        if kernel and stack and used:
            shared = _SHARED.search(section)
            resources[kernel[1]] = {
                "registers": int(used[1]),
                "shared_bytes": int(shared[1]) if shared else 0,
                "stack_bytes": int(stack[1]),
                "spill_store_bytes": int(stack[2]),
                "spill_load_bytes": int(stack[3]),
            }
    return resources


def find_nvdisasm() -> str | None:
    """Path of the disassembler: the one of the Python package, else of a CUDA toolkit on PATH."""
    for folder in sorted(Path(sysconfig.get_path("purelib")).glob("nvidia/*/bin")):
        if (folder / "nvdisasm").exists():
            return str(folder / "nvdisasm")
    return shutil.which("nvdisasm")


def count_instructions(cubin: bytes) -> dict[str, dict[str, int]]:
    """How often each of COUNTED occurs, per kernel symbol. Empty where there is no disassembler.

    Vector widths are kept apart: `LDS.128` is a 16-byte read, `LDS` a 4-byte one.
    """
    counts = {}
    for symbol, instructions in disassemble(cubin).items():
        counter: Counter[str] = Counter()
        for instruction in instructions:
            name, *modifiers = instruction["opcode"].split(".")
            # Reads predicated with "never" (!PT) only mark a dependency after asynchronous copies.
            if name in COUNTED and instruction.get("predicate") != "@!PT":
                width = next((m for m in modifiers if m in ("64", "128")), None)
                counter[f"{name}.{width}" if width else name] += 1
        counts[symbol] = dict(sorted(counter.items()))
    return counts


def disassemble(cubin: bytes) -> dict[str, list[dict[str, Any]]]:
    """The machine instructions of every kernel, by symbol, as nvdisasm's JSON has them. Empty where there is none.

    Raises CompileError if nvdisasm cannot read the cubin.
    """
    nvdisasm = find_nvdisasm()
    if nvdisasm is None:
        return {}
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        result = subprocess.run([nvdisasm, "-json", file.name], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise CompileError(f"nvdisasm could not read the cubin: {result.stderr.strip()}")
    return {
        function["function-name"]: function["sass-instructions"] for function in _functions(json.loads(result.stdout))
    }


def _functions(document: Any) -> list[dict[str, Any]]:
    if isinstance(document, dict):
        return [document] if "sass-instructions" in document else []
    return [function for part in document for function in _functions(part)]

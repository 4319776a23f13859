"""The CUDA programs on the CPU: compiled as C++, launched as `kernels.launch.KernelLibrary` launches them on a GPU.

So the kernels' index arithmetic, barriers, guards and edges are tested where there is no GPU. What it cannot show:
races between threads, the speed, and whether the hardware does as the stand-ins say.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from kernels.build.programs import CUDA_FOLDER, DEFINITIONS
from kernels.launch import KernelLibrary
from kernels.packed import Launch, Start, address
from tests.shared import make_once

STAND_INS = Path(__file__).parent / "cuda"
COMPILER = shutil.which("g++")
#: A misaligned access ends the process, as it does on a GPU. Multiply and add are fused only where the source says so.
OPTIONS = (
    *("-fsanitize=alignment", "-fsanitize-undefined-trap-on-error"),
    *("-std=c++20", "-O1", "-march=native", "-ffp-contract=off", "-fno-strict-aliasing", "-shared", "-fPIC", "-w"),
)


class EmulatedLibrary(KernelLibrary):
    """Kernels of chosen programs. Each program is compiled once in a run of pytest."""

    def __init__(self, factory: pytest.TempPathFactory, kernels: dict[str, list[str]]) -> None:
        """`kernels`: program -> the name expressions that may be launched, the same in all tests of a program.

        The fewer, the faster it compiles.
        """
        self._factory = factory
        self._kernels = kernels
        self._compiled: dict[str, ctypes.CDLL] = {}

    def kernel(self, program: str, expression: str) -> Any:
        if program not in self._compiled:
            self._compiled[program] = self._compile(program)
        return self._compiled[program], self._kernels[program].index(expression)

    def resident_blocks(self, kernel: Any, threads: int, shared_bytes: int = 0) -> int:
        """Few, so that blocks share tiles."""
        return 5

    @property
    def multiprocessors(self) -> int:
        """Few, so that a block that stays on its multiprocessor takes several tiles; and more than one such block."""
        return 2

    @property
    def most_shared_bytes(self) -> int:
        return 227 * 1024

    def allow_shared(self, kernel: Any, shared_bytes: int) -> None:
        assert shared_bytes <= self.most_shared_bytes

    def launch(
        self,
        kernel: Any,
        grid: tuple[int, ...],
        threads: int,
        *arguments: torch.Tensor | int | None,
        shared_bytes: int = 0,
        cluster: int = 1,
        overlap: bool = False,
    ) -> None:
        values = [value if isinstance(value, int) else address(value) for value in arguments]
        packed = (ctypes.c_int64 * len(values))(*values)
        program, index = kernel
        program.run(index, grid[0], grid[1] if len(grid) > 1 else 1, threads, cluster, packed)

    def enter(self) -> None:
        pass

    def bind(self, launch: Launch, slots: Sequence[int | None]) -> Start:
        def start(pointers: Sequence[int], stream: int) -> None:
            arguments = [
                value if slot is None else pointers[slot] for value, slot in zip(launch.arguments, slots, strict=True)
            ]
            self.launch(launch.kernel, launch.grid, launch.threads, *arguments, cluster=launch.cluster)

        return start

    def _compile(self, program: str) -> ctypes.CDLL:
        folder = make_once(self._factory, f"emulated-{program}", lambda folder: self._build(program, folder))
        return ctypes.CDLL(str(folder / "program.so"))

    def _build(self, program: str, sources: Path) -> None:
        shutil.copytree(CUDA_FOLDER, sources, dirs_exist_ok=True)
        shutil.copytree(STAND_INS, sources, dirs_exist_ok=True)
        # Dynamic shared memory is declared by cuda.h, once for all.
        source = re.sub(r"extern __shared__ [^;]*\bdynamic\[\];", "", (sources / f"{program}.cu").read_text())
        cases = "".join(
            f"    case {index}: emulation::launch({expression}, grid_x, grid_y, threads, cluster, arguments); break;\n"
            for index, expression in enumerate(self._kernels[program])
        )
        (sources / "program.cpp").write_text(
            f'#include "cuda.h"\n{source}\n'
            'extern "C" void run(int kernel, int grid_x, int grid_y, int threads, int cluster, '
            "const std::int64_t* arguments) {\n"
            f"  switch (kernel) {{\n{cases}  }}\n}}\n"
        )
        header = make_once(self._factory, "emulated-header", self._build_header)
        (sources / "cuda.h.gch").symlink_to(header / "cuda.h.gch")
        self._run_compiler(sources, "program.cpp", "-o", "program.so")

    def _build_header(self, sources: Path) -> None:
        """What all programs begin with, and what takes as long as the rest of most of them."""
        shutil.copy2(STAND_INS / "cuda.h", sources)
        self._run_compiler(sources, "-x", "c++-header", "cuda.h", "-o", "cuda.h.gch")

    def _run_compiler(self, folder: Path, *arguments: str) -> None:
        assert COMPILER is not None
        macros = [f"-D{name}={value}" for name, value in DEFINITIONS.items()]
        subprocess.run([COMPILER, *OPTIONS, *macros, "-I.", *arguments], cwd=folder, check=True)

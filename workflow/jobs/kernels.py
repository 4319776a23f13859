"""The compiled CUDA programs of a run: which there are, where they lie, and the hashes that repeat a compile."""

from __future__ import annotations

import os
from collections.abc import Iterable

from kernels.build.sources import program_files, source_hash
from kernels.build.sources import programs as all_programs
from workflow.experiment.request import Request


class Kernels:
    """The CUDA programs that a request needs, below RESULTS/kernels/ARCHITECTURE/."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._root = f"{request.results}/kernels"

    @property
    def architectures(self) -> list[str]:
        """What programs are compiled for: the experiment's list, or the GPUs at hand."""
        sweep = self._request.sweep
        listed = list(sweep.experiment["architectures"]) if sweep else []
        return listed or sorted({gpu.architecture for gpu in self._request.gpus})

    @property
    def programs(self) -> list[str]:
        """The programs to compile: all if a whole experiment lists architectures, else those that are measured."""
        sweep = self._request.sweep
        if sweep is None:
            return []
        if sweep.experiment["architectures"] and not sweep.is_part:
            return all_programs()
        used = self._programs_of(point.algorithm for point in sweep.points.values())
        return [program for program in all_programs() if program in used]

    @property
    def reports(self) -> list[str]:
        """The compiler's reports on these programs."""
        return [f"{self._root}/{arch}/{name}.json" for name in self.programs for arch in self.architectures]

    @property
    def all_cubins(self) -> list[str]:
        """Every program of the project, for the architectures of this run."""
        return [f"{self._root}/{arch}/{name}.cubin" for name in all_programs() for arch in self.architectures]

    @property
    def folder(self) -> str:
        """Where the programs that are measured lie; on the CPU there are none, and the folder need not exist."""
        gpus = self._request.gpus
        return f"{self._root}/{gpus[0].architecture if gpus else 'none'}"

    @property
    def resources(self) -> list[str]:
        """The table of the registers and the memory that kernels take, if this run compiles any."""
        return [f"{self._root}/resources.csv"] if self.reports else []

    def cubins(self, programs: Iterable[str]) -> list[str]:
        """These programs for the GPU that measures; none on the CPU."""
        return [f"{self.folder}/{program}.cubin" for program in programs] if self._request.gpus else []

    def cubins_of(self, algorithms: Iterable[str]) -> list[str]:
        """The programs that these algorithms launch."""
        return self.cubins(self._programs_of(algorithms))

    def _programs_of(self, algorithms: Iterable[str]) -> list[str]:
        entries = [self._request.catalog.get("algorithm", name) for name in dict.fromkeys(algorithms)]
        return list(dict.fromkeys(program for entry in entries for program in entry["programs"]))

    @staticmethod
    def sources(program: str) -> list[str]:
        """The source files of a program."""
        return [os.path.relpath(path) for path in program_files(program)]

    @staticmethod
    def source_hash(program: str) -> str:
        """Hash of a program, and of how it is compiled and launched."""
        return source_hash("kernels.launch", [program])

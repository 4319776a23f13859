"""Compiled kernels on disk: a kernel is compiled when a process first needs it, and kept for all later ones."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from cuda.bindings import nvrtc
from cuda.core import ObjectCode
from filelock import FileLock

from ..build.compile import compile_program
from ..build.programs import COMPILE_OPTIONS, DEFINITIONS
from ..build.sources import normalized_cuda, program_files
from ..launch import KernelLibrary

#: Names another folder than the user's cache for compiled kernels.
CACHE_VARIABLE = "IM2WIN_CACHE"


def cache_folder() -> Path:
    """Where compiled kernels are kept: $IM2WIN_CACHE, else im2win in $XDG_CACHE_HOME or ~/.cache. May not exist."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "im2win"


@cache
def _source_of(program: str) -> str:
    """Hash of all that the machine code of a program follows from, but the architecture."""
    texts = sorted(normalized_cuda(path.read_text()) for path in program_files(program))
    _, major, minor = nvrtc.nvrtcVersion()
    parts = [*texts, repr(sorted(DEFINITIONS.items())), repr(COMPILE_OPTIONS), f"NVRTC {major}.{minor}"]
    return sha256("\0".join(parts).encode()).hexdigest()[:16]


def cubin_of(program: str, expression: str, architecture: str) -> tuple[bytes, str]:
    """The cubin of one kernel and its symbol, from the cache or compiled. Raises CompileError.

    The cache's files are `<hash>.cubin`: of sources, compiler, architecture and kernel. Each ends with its symbol and
    the hash of what comes before, so that a damaged one is compiled anew. Processes that need the same kernel compile
    it once. Where nothing can be written a warning says so, once, and nothing is kept.
    """
    name = sha256(f"{_source_of(program)} {expression} {architecture}".encode()).hexdigest()[:32]
    try:
        path = cache_folder() / f"{name}.cubin"
        path.parent.mkdir(parents=True, exist_ok=True)
        if (found := _read(path)) is not None:
            return found
        with FileLock(path.with_suffix(".lock")):
            if (found := _read(path)) is None:
                found = _compile(program, expression, architecture)
                _write(path, *found)
        return found
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        _warn(f"{type(error).__name__}: {error}")
        return _compile(program, expression, architecture)


def _compile(program: str, expression: str, architecture: str) -> tuple[bytes, str]:
    cubin, report = compile_program(program, architecture, (expression,))
    return cubin, str(report["kernels"][0]["symbol"])


def _read(path: Path) -> tuple[bytes, str] | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    kept, _, digest = content.rpartition(b"\n")
    cubin, _, symbol = kept.rpartition(b"\n")
    return (cubin, symbol.decode()) if sha256(kept).hexdigest().encode() == digest else None


def _write(path: Path, cubin: bytes, symbol: str) -> None:
    kept = cubin + b"\n" + symbol.encode()
    part = path.with_suffix(f".{os.getpid()}")
    part.write_bytes(kept + b"\n" + sha256(kept).hexdigest().encode())
    part.replace(path)


@cache
def _warn(why: str) -> None:
    warnings.warn(
        f"im2win: compiled kernels cannot be kept ({why}), so every process compiles its own; set {CACHE_VARIABLE} to "
        "a folder that can be written",
        stacklevel=2,
    )


class CachedLibrary(KernelLibrary):
    """Kernels that are compiled one by one, when they are needed, and kept on disk."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._kernels: dict[tuple[str, str], tuple[ObjectCode, Any]] = {}

    def kernel(self, program: str, expression: str) -> Any:
        self.load([(program, expression)])
        return self._kernels[program, expression][1]

    def load(self, kernels: Sequence[tuple[str, str]]) -> None:
        """Those that have to be compiled are compiled side by side."""
        missing = [one for one in dict.fromkeys(kernels) if one not in self._kernels]
        if not missing:
            return
        with ThreadPoolExecutor(min(len(missing), os.cpu_count() or 1)) as pool:
            found = list(pool.map(lambda one: cubin_of(one[0], one[1], self._architecture), missing))
        for (program, expression), (cubin, symbol) in zip(missing, found, strict=True):
            code = ObjectCode.from_cubin(cubin, name=program)
            self._kernels[program, expression] = code, code.get_kernel(symbol)

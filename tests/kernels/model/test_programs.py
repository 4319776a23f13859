"""Compiled kernels on disk: compiled once, whoever asks, and never taken if they are damaged."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from kernels.build.compile import CompileError
from kernels.model import programs

#: Two processes that need the same kernel at once, with a compiler that notes when it is called.
RACE = """
import sys, time
from pathlib import Path
from kernels.model import programs

def compile(program, architecture, expressions):
    with Path("compiled").open("a") as log:
        log.write("once\\n")
    time.sleep(1)
    return b"machine code\\n" * 1000, {"kernels": [{"symbol": "_Z6direct"}]}

programs.compile_program = compile
print(programs.cubin_of("direct", "direct", "sm_80")[1])
"""


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, ...]]:
    """What was compiled; the cache is a new folder."""
    calls: list[tuple[str, ...]] = []

    def compile_program(program: str, architecture: str, expressions: tuple[str, ...]) -> tuple[bytes, dict[str, Any]]:
        calls.append((program, architecture, *expressions))
        code = f"\x7fELF of {program}\n{architecture}\n{expressions}".encode()
        return code, {"kernels": [{"symbol": f"_Z{expressions[0]}"}]}

    monkeypatch.setattr(programs, "compile_program", compile_program)
    monkeypatch.setenv(programs.CACHE_VARIABLE, str(tmp_path / "cache"))
    programs._warn.cache_clear()
    return calls


def test_compiled_once(compiled: list[tuple[str, ...]], tmp_path: Path) -> None:
    first = programs.cubin_of("direct", "direct", "sm_80")
    assert programs.cubin_of("direct", "direct", "sm_80") == first
    assert compiled == [("direct", "sm_80", "direct")]
    for program, expression, architecture in (
        ("direct", "direct", "sm_90a"),
        ("tensor_core_filter", "sum_partials", "sm_80"),
        ("tensor_core_filter", "split_filter<2>", "sm_80"),
    ):
        assert programs.cubin_of(program, expression, architecture) != first
    assert len(compiled) == 4
    assert len(list((tmp_path / "cache").glob("*.cubin"))) == 4


def test_other_sources_are_other_kernels(compiled: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    programs.cubin_of("direct", "direct", "sm_80")
    monkeypatch.setattr(programs, "_source_of", lambda program: "changed")
    programs.cubin_of("direct", "direct", "sm_80")
    assert len(compiled) == 2


@pytest.mark.parametrize("damage", [lambda content: content[:-20], lambda content: b"", lambda content: b"x" + content])
def test_a_damaged_file_is_compiled_again(compiled: list[tuple[str, ...]], tmp_path: Path, damage: Any) -> None:
    whole = programs.cubin_of("direct", "direct", "sm_80")
    (file,) = (tmp_path / "cache").glob("*.cubin")
    file.write_bytes(damage(file.read_bytes()))
    for _ in range(2):
        assert programs.cubin_of("direct", "direct", "sm_80") == whole
    assert len(compiled) == 2


def test_a_cache_that_cannot_be_written(
    compiled: list[tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(programs.CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="compiled kernels cannot be kept .*; set IM2WIN_CACHE to a folder"):
        programs.cubin_of("direct", "direct", "sm_80")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        programs.cubin_of("direct", "direct", "sm_80")
    assert len(compiled) == 2


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(programs.CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert programs.cache_folder() == tmp_path / "im2win"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert programs.cache_folder() == Path("/home/somebody/.cache/im2win")


def test_an_error_of_the_compiler_is_told(compiled: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise CompileError("direct.cu does not compile")

    monkeypatch.setattr(programs, "compile_program", fails)
    with pytest.raises(CompileError):
        programs.cubin_of("direct", "direct", "sm_80")


def test_processes_at_once_compile_once(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    environment = os.environ | {"IM2WIN_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", RACE]
    running = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert [process.communicate()[0] for process in running] == ["_Z6direct\n"] * 3
    assert (tmp_path / "compiled").read_text() == "once\n"

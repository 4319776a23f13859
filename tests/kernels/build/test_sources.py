"""Source hashes change with the meaning of the code and with nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kernels.build.programs import CUDA_FOLDER, DEFINITIONS, PROGRAMS, TILE_MODULES
from kernels.build.sources import (
    folder_hash,
    module_files,
    normalized_cuda,
    normalized_python,
    program_files,
    source_hash,
)

CUDA = """
#include "a.cuh"
#include <c.h>
#define TWICE(x) \\
  (2 * (x))
// A comment.
__global__ void kernel(const float* x) { /* another */
  const unsigned int i = threadIdx.x + 1;
}
"""
PYTHON = '''
"""A docstring."""
import os  # a comment
from kernels.problem import ConvProblem


def function(a: int, b=(1, 2)) -> str:
    """Another."""
    return f"{a:>{b[0]}}" + 'x'
'''


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("// A comment.\n", "", True),
        ("/* another */", "\n\n", True),
        ("const unsigned int i", "const   unsigned\n int i", True),
        ("threadIdx.x + 1", "threadIdx.x+1", True),
        ("threadIdx.x + 1", "threadIdx.x + 2", False),
        ("unsigned int", "unsignedint", False),
        # Where our own text lies means nothing: it is part of the hash wherever it is.
        ('"a.cuh"', '"include/b.cuh"', True),
        ("<c.h>", "<d.h>", False),
        ("const float*", "float*", False),
    ],
)
def test_normalized_cuda(before: str, after: str, same: bool) -> None:
    assert before in CUDA
    assert (normalized_cuda(CUDA.replace(before, after)) == normalized_cuda(CUDA)) == same


def test_comment_marks_in_strings_are_no_comments() -> None:
    assert normalized_cuda('asm("// a");') != normalized_cuda('asm("// b");')


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ('"""A docstring."""\n', "", True),
        ('    """Another."""\n', "    # nothing\n", True),
        ("  # a comment", "", True),
        ("from kernels.problem import", "from kernels.shapes.problem import", True),
        ("from kernels.problem import", "from ..shapes.problem import", True),
        ("import os", "import sys", False),
        ("(a: int, b=(1, 2))", "(\n    a: int,\n    b=(1, 2),\n)", True),
        ("'x'", '"x"', True),
        ("'x'", "'y'", False),
        ("(1, 2)", "(1, 3)", False),
        ("b[0]", "b[1]", False),
    ],
)
def test_normalized_python(before: str, after: str, same: bool) -> None:
    assert before in PYTHON
    assert (normalized_python(PYTHON.replace(before, after)) == normalized_python(PYTHON)) == same


def test_hash_covers_programs_and_module() -> None:
    hashes = [
        source_hash("kernels.families.im2win", ["im2win_transform", "im2win"]),
        source_hash("kernels.families.im2win", ["im2win_transform", "im2win_base"]),
        source_hash("kernels.families.direct", ["direct"]),
        source_hash("kernels.families.cpu", []),
    ]
    assert len(set(hashes)) == len(hashes)
    assert source_hash("kernels.families.cpu", []) == hashes[3]


def test_a_module_brings_what_it_imports_but_not_the_lists_of_all() -> None:
    families = ("direct", "im2win", "cudnn")
    names = {name: {path.stem for path in module_files(f"kernels.families.{name}")} for name in families}
    assert {"direct", "launch", "problem", "algorithm"} <= names["direct"]
    assert "tiled" in names["im2win"] - names["direct"]
    assert "cudnn_library" in names["cudnn"]
    assert not {"programs", "compile", "tensor_core"} & (names["direct"] | names["im2win"] | names["cudnn"])


def test_program_files_follow_includes() -> None:
    names = {path.name for path in program_files("im2win")}
    # Included by im2win_tile.cuh.
    parts = {"loaders.cuh", "micro_kernel.cuh", "overlap.cuh", "schedule.cuh", "shared_memory.cuh"}
    within = {"optimization_barrier.cuh"}  # included by shared_memory.cuh
    assert names == {"im2win.cu", "im2win_tile.cuh", "convolution.cuh"} | parts | within


def test_every_cuda_file_belongs_to_a_program() -> None:
    used = {path for program in PROGRAMS for path in program_files(program)}
    assert used == {*CUDA_FOLDER.rglob("*.cu"), *CUDA_FOLDER.rglob("*.cuh")}
    assert {path.stem for path in CUDA_FOLDER.rglob("*.cu")} == set(PROGRAMS)


def test_listed_instances_are_those_of_a_program() -> None:
    listed = [program for module in TILE_MODULES for program in module.INSTANCES]
    assert len(set(listed)) == len(listed)
    assert set(listed) <= set(PROGRAMS)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_shared_constant_is_written_in_python_alone(name: str) -> None:
    """A macro of its name is given to the compiler: what CUDA C++ defined besides would be a second truth."""
    text = "\n".join(path.read_text() for path in CUDA_FOLDER.rglob("*.cu*"))
    assert re.search(rf"\b{name}\b", text)
    assert not re.search(rf"#\s*define\s+{name}\b|\b{name}\s*=[^=]|\b(?:int|class|typename)\s+{name}\b", text)


def test_a_folder_of_modules_is_known_by_what_it_says(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "room").mkdir(parents=True)
    second.mkdir()
    (first / "a.py").write_text("from workflow.machine.gpu import gpu\nA = 1  # one\n")
    (first / "room" / "b.py").write_text("B = 2\n")
    (second / "z.py").write_text("from workflow.gpu import gpu\nA = 1\n")
    (second / "c.py").write_text('"""Moved."""\nB = 2\n')
    assert folder_hash(first) == folder_hash(second)
    (second / "c.py").write_text("B = 3\n")
    assert folder_hash(first) != folder_hash(second)


def test_needs_neither_pytorch_nor_cuda() -> None:
    code = "import sys, kernels.build.sources, kernels.problem; assert not {'torch', 'cuda'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

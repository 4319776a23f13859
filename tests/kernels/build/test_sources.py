"""Source hashes change with the meaning of the code and with nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kernels.build.programs import CUDA_FOLDER, PROGRAMS
from kernels.build.sources import module_files, normalized_cuda, normalized_python, program_files, source_hash

CUDA = """
#include "a.cuh"
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
        ('"a.cuh"', '"b.cuh"', False),
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
    names = {name: {path.stem for path in module_files(f"kernels.{name}")} for name in ("direct", "im2win", "cudnn")}
    assert {"direct", "launch", "problem", "algorithm"} <= names["direct"]
    assert "tile" in names["im2win"] - names["direct"]
    assert "cudnn_library" in names["cudnn"]
    assert [path.stem for path in module_files("workflow.ceilings")] == ["ceilings"]
    assert not {"programs", "compile", "tensor_core_tile"} & (names["direct"] | names["im2win"] | names["cudnn"])


def test_program_files_follow_includes() -> None:
    names = {path.name for path in program_files("im2win")}
    # Included by im2win_tile.cuh.
    parts = {"loaders.cuh", "micro_kernel.cuh", "overlap.cuh", "schedule.cuh", "shared_memory.cuh"}
    assert names == {"im2win.cu", "im2win_tile.cuh", "convolution.cuh"} | parts


def test_every_cuda_file_belongs_to_a_program() -> None:
    used = {path for program in PROGRAMS for path in program_files(program)}
    assert used == {*CUDA_FOLDER.glob("*.cu"), *CUDA_FOLDER.glob("*.cuh")}


def test_needs_neither_pytorch_nor_cuda() -> None:
    code = "import sys, kernels.build.sources, kernels.problem; assert not {'torch', 'cuda'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

"""Every program compiles for every architecture, without a GPU, spills or local memory."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from kernels.compile import CompileError, compile_program, find_nvdisasm
from kernels.programs import PROGRAMS

#: The one that is measured, where everything is compiled; elsewhere one kernel of each program stands for the others.
MEASURED = "sm_90a"
OTHERS = ["sm_80", "sm_86", "sm_89", "sm_100", "sm_120"]


def check_resources(report: dict[str, Any]) -> None:
    for kernel in report["kernels"]:
        assert kernel["registers"] > 0
        # The stack frame is what local memory would be; spills are part of it.
        assert (kernel["stack_bytes"], kernel["spill_store_bytes"], kernel["spill_load_bytes"]) == (0, 0, 0)
        assert kernel["shared_bytes"] <= 48 * 1024


@cache
def compiled(program: str) -> tuple[bytes, dict[str, Any]]:
    return compile_program(program, MEASURED)


@pytest.mark.parametrize("program", PROGRAMS)
def test_compiles_without_spills(program: str) -> None:
    cubin, report = compiled(program)
    assert cubin.startswith(b"\x7fELF")
    assert [kernel["expression"] for kernel in report["kernels"]] == list(PROGRAMS[program])
    check_resources(report)


@pytest.mark.parametrize("architecture", OTHERS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_other_architectures(program: str, architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROGRAMS, program, PROGRAMS[program][-1:])
    check_resources(compile_program(program, architecture)[1])


@pytest.mark.skipif(find_nvdisasm() is None, reason="there is no nvdisasm")
def test_machine_code_is_what_the_source_says() -> None:
    """Strict FP32 shows in the machine code, and so does each ablated optimization."""
    instructions = {
        program: compiled(program)[1]["kernels"][0]["instructions"]
        for program in PROGRAMS
        if program.startswith("im2win") and program != "im2win_transform" and "tensor_core" not in program
    }
    for counts in instructions.values():
        assert counts["FFMA"] > 0
        assert not {"HMMA", "HGMMA", "LDL", "STL"} & set(counts)
    # Twice: in the main loop all values of a step, at the reduction's end one value at a time. Per value of the
    # reduction 16 x 8 multiply-adds, 16 + 8 operands, four in one read; the stores read scratch memory besides. Who
    # prefetches reads the first operands before the main loop.
    values, first = 8 + 1, 1
    full = instructions["im2win"]
    assert full["FFMA"] == instructions["im2win_without_prefetch"]["FFMA"] == values * 128
    assert full["LDS.128"] == (first + values) * 6
    assert instructions["im2win_without_prefetch"]["LDS.128"] == values * 6
    assert full["LDGSTS.128"] > 0
    assert instructions["im2win_without_vectorized_load"]["LDS"] == (first + values) * 24
    assert not {"LDS.128", "LDG.128", "LDGSTS.128"} & set(instructions["im2win_without_vectorized_load"])
    single = instructions["im2win_without_micro_kernel"]
    assert single["LDS"] == 2 * (first + single["FFMA"])
    assert not {"LDGSTS", "LDGSTS.128"} & set(instructions["im2win_without_shared_memory"])
    assert not {"LDGSTS", "LDGSTS.128"} & set(instructions["im2win_without_double_buffering"])


@pytest.mark.skipif(find_nvdisasm() is None, reason="there is no nvdisasm")
@pytest.mark.parametrize(
    ("program", "architecture", "instruction"),
    [
        ("im2win_tensor_core_wgmma", "sm_90a", "HGMMA"),
        ("im2win_tensor_core_sliding", "sm_90a", "HGMMA"),
        ("im2win_tensor_core_mma", "sm_80", "HMMA"),
        ("im2win_tensor_core_mma", "sm_120", "HMMA"),
    ],
)
def test_tensor_core_kernels_use_the_tensor_core(program: str, architecture: str, instruction: str) -> None:
    for kernel in compile_program(program, architecture)[1]["kernels"]:
        counts = kernel["instructions"]
        assert counts[instruction] > 0
        # Results are promoted to FP32 sums outside the tensor core; nothing goes to local memory.
        assert counts["FFMA"] > 0
        assert not {"LDL", "STL"} & set(counts)


def test_unknown_architecture_is_a_clear_error() -> None:
    with pytest.raises(CompileError, match="direct.cu does not compile for sm_7"):
        compile_program("direct", "sm_7")


def test_compiling_is_deterministic() -> None:
    assert compile_program("direct", "sm_90a")[0] == compile_program("direct", "sm_90a")[0]

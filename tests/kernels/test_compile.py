"""Every program compiles for every architecture, without a GPU, spills or local memory."""

from __future__ import annotations

import pytest

from kernels.compile import CompileError, compile_program, find_nvdisasm
from kernels.programs import PROGRAMS

ARCHITECTURES = ["sm_80", "sm_86", "sm_89", "sm_90a", "sm_100", "sm_120"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_compiles_without_spills(program: str, architecture: str) -> None:
    cubin, report = compile_program(program, architecture)
    assert cubin.startswith(b"\x7fELF")
    assert [kernel["expression"] for kernel in report["kernels"]] == list(PROGRAMS[program])
    for kernel in report["kernels"]:
        assert kernel["registers"] > 0
        # The stack frame is what local memory would be; spills are part of it.
        assert (kernel["stack_bytes"], kernel["spill_store_bytes"], kernel["spill_load_bytes"]) == (0, 0, 0)
        assert kernel["shared_bytes"] <= 48 * 1024


@pytest.mark.skipif(find_nvdisasm() is None, reason="there is no nvdisasm")
def test_machine_code_is_what_the_source_says() -> None:
    """Strict FP32 shows in the machine code, and so does each ablated optimization."""
    instructions = {
        program: compile_program(program, "sm_90a")[1]["kernels"][0]["instructions"]
        for program in PROGRAMS
        if program.startswith("im2win") and program != "im2win_transform"
    }
    for counts in instructions.values():
        assert counts["FFMA"] > 0
        assert not {"HMMA", "HGMMA", "LDL", "STL"} & set(counts)
    assert instructions["im2win"]["LDS.128"] == 8 * 4  # per k: 8 + 8 operands, four in one read
    assert "LDS" not in instructions["im2win"]
    assert instructions["im2win_without_vectorized_load"]["LDS"] == 8 * 16
    assert not {"LDS.128", "LDG.128"} & set(instructions["im2win_without_vectorized_load"])
    assert instructions["im2win_without_micro_kernel"]["LDS"] == 2 * instructions["im2win_without_micro_kernel"]["FFMA"]
    assert instructions["im2win"]["FFMA"] == instructions["im2win_without_prefetch"]["FFMA"] == 8 * 64


def test_unknown_architecture_is_a_clear_error() -> None:
    with pytest.raises(CompileError, match="direct.cu does not compile for sm_7"):
        compile_program("direct", "sm_7")


def test_compiling_is_deterministic() -> None:
    assert compile_program("direct", "sm_90a")[0] == compile_program("direct", "sm_90a")[0]

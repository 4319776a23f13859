"""The programs compile for all architectures, without a GPU, spills or local memory."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from kernels.build import compile as compiler
from kernels.build.compile import CompileError, compile_program, disassemble, find_nvdisasm
from kernels.build.programs import PROGRAMS
from kernels.tiles.tensor_core import K_BLOCK
from kernels.tiles.tensor_core_sliding import SLIDING_TILES
from kernels.tiles.tensor_core_winograd import WINOGRAD_TILES
from kernels.tiles.winograd import WINOGRAD_TILE
from tests.shared import make_once

Compiled = Callable[..., Path]

#: The one that is measured, where everything is compiled; elsewhere one kernel of each program stands for the others.
MEASURED = "sm_90a"
#: The oldest and the newest architecture, for which every program is compiled, and those between: a third of them each.
OUTER, INNER = ("sm_80", "sm_120"), ("sm_86", "sm_89", "sm_100")
ELSEWHERE = [(program, one) for i, program in enumerate(PROGRAMS) for one in (*OUTER, INNER[i % len(INNER)])]
#: Programs and architectures, with the instruction by which their kernels use the tensor core.
TENSOR_CORE = {
    ("im2win_tensor_core_wgmma", "sm_90a"): "HGMMA",
    ("im2win_tensor_core_sliding", "sm_90a"): "HGMMA",
    ("im2win_tensor_core_winograd", "sm_90a"): "HGMMA",
    ("im2win_tensor_core_mma", "sm_80"): "HMMA",
    ("im2win_tensor_core_mma", "sm_120"): "HMMA",
    ("im2win_tensor_core_mma_sliding", "sm_80"): "HMMA",
    ("im2win_tensor_core_mma_sliding", "sm_120"): "HMMA",
}
#: Programs whose machine code is looked at wherever they are compiled, by their number on every architecture; of the
#: others what is looked at below.
DISASSEMBLED = list(PROGRAMS)[: len(INNER)]

#: Kernels that prepare what the next one reads, and programs whose kernels start before those have ended.
PREPARING = [
    "im2win_transform<0>",
    "im2win_transform<1>",
    "filter_reorder",
    "winograd_filter",
    "split_filter<2>",
    "split_filter<3>",
    *(tile.filter_expression for tile in WINOGRAD_TILES),
]
#: Kernels that do both: they begin while the filter is being prepared, with which they share nothing, and end after it.
BETWEEN = "write_windows"
WAITING = [
    *("im2win", "im2win_fused", "im2win_winograd"),
    *(program for program in PROGRAMS if program.startswith(("im2win_without", "im2win_tensor_core"))),
]
#: Programs that have a window tensor in device memory, or not, and the kernels that do.
WITH_WINDOWS = ("im2win_tensor_core_sliding", "im2win_tensor_core_winograd")
IN_MEMORY = {
    tile.expression(general)
    for tile in (*SLIDING_TILES, *WINOGRAD_TILES)
    for general in (False, True)
    if tile.windows_in_memory
}
#: Machine instructions that read or write device memory, through whatever way.
MEMORY = {
    *("LD", "LDG", "LDGSTS", "ST", "STG", "ATOM", "ATOMG", "RED", "REDG"),
    *("UBLKCP", "UBLKPF", "UBLKRED", "UTMALDG", "UTMAPF", "UTMASTG", "UTMAREDG"),
}


def instances(program: str, architecture: str) -> tuple[str, ...]:
    """The kernels of a program that are compiled here: of an ablation's, all of im2win's tiles, the two largest."""
    if architecture != MEASURED and (program, architecture) not in TENSOR_CORE:
        return PROGRAMS[program][-1:]
    return PROGRAMS[program][:2] if program.startswith("im2win_without") else PROGRAMS[program]


def check_resources(report: dict[str, Any]) -> None:
    assert report["warnings"] == []
    for kernel in report["kernels"]:
        assert kernel["registers"] > 0
        # The stack frame is what local memory would be; spills are part of it.
        assert (kernel["stack_bytes"], kernel["spill_store_bytes"], kernel["spill_load_bytes"]) == (0, 0, 0)
        assert kernel["shared_bytes"] <= 48 * 1024


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """The folder of a program's cubin, report and instructions; each is compiled and disassembled once."""

    def read(program: str, architecture: str = MEASURED) -> Path:
        looked_at = architecture == MEASURED or (program, architecture) in TENSOR_CORE or program in DISASSEMBLED

        def write(folder: Path) -> None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(compiler, "disassemble", cache(disassemble) if looked_at else lambda cubin: {})
                cubin, report = compile_program(program, architecture, instances(program, architecture))
                (folder / "instructions.json").write_text(json.dumps(compiler.disassemble(cubin)))
            (folder / "cubin").write_bytes(cubin)
            (folder / "report.json").write_text(json.dumps(report))

        return make_once(tmp_path_factory, f"{program}-{architecture}", write)

    return read


def report_in(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "report.json").read_text()))


def instructions_in(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The machine instructions of every kernel, by symbol."""
    return dict(json.loads((folder / "instructions.json").read_text()))


@pytest.mark.parametrize("program", PROGRAMS)
def test_compiles_without_spills(program: str, compiled: Compiled) -> None:
    folder = compiled(program)
    assert (folder / "cubin").read_bytes().startswith(b"\x7fELF")
    report = report_in(folder)
    assert [kernel["expression"] for kernel in report["kernels"]] == list(instances(program, MEASURED))
    check_resources(report)


@pytest.mark.parametrize(("program", "architecture"), ELSEWHERE)
def test_other_architectures(program: str, architecture: str, compiled: Compiled) -> None:
    check_resources(report_in(compiled(program, architecture)))


@pytest.mark.skipif(find_nvdisasm() is None, reason="there is no nvdisasm")
def test_machine_code_is_what_the_source_says(compiled: Compiled) -> None:
    """Strict FP32 shows in the machine code, and so does each ablated optimization."""
    instructions = {
        program: report_in(compiled(program))["kernels"][0]["instructions"]
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


def before_the_wait(instructions: list[dict[str, Any]]) -> Counter[str]:
    """How often a kernel reads or writes device memory where it may not have waited for the kernel before (ACQBULK).

    Follows every branch, whatever it depends on. Branches name their target's address; an instruction has 16 bytes.
    """
    found: Counter[str] = Counter()
    seen, waiting = set(), [0]
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        instruction = instructions[at]
        name, *modifiers = instruction["opcode"].split(".")
        operands = re.split(r"\s*,\s*", instruction.get("operands", ""))
        always = "predicate" not in instruction
        if name == "ACQBULK" and always:
            continue
        assert name not in ("BRX", "BRXU", "JMX", "JMXU", "JMP"), "a branch that cannot be followed"
        if name in MEMORY and instruction.get("predicate") != "@!PT":
            found[".".join([name, *(m for m in modifiers if m == "128")])] += 1
        if "control-flow" in instruction.get("other-attributes", {}):
            waiting += [int(operand, 16) // 16 for operand in operands if re.fullmatch("0x[0-9a-f]+", operand)]
        if not (always and (name in ("EXIT", "RET") or (name == "BRA" and len(operands) == 1))):
            waiting.append(at + 1)
    return found


@pytest.mark.skipif(find_nvdisasm() is None, reason="there is no nvdisasm")
@pytest.mark.parametrize("program", WAITING)
def test_nothing_is_read_or_written_before_the_wait(program: str, compiled: Compiled) -> None:
    """But X and the offsets of a window's values, where X is gathered while the filter is still being split."""
    report, kernels = report_in(compiled(program)), instructions_in(compiled(program))
    for kernel in [kernel for kernel in report["kernels"] if kernel["expression"] not in PREPARING]:
        instructions = kernels[kernel["symbol"]]
        assert any(instruction["opcode"] == "ACQBULK" for instruction in instructions), kernel["expression"]
        found = before_the_wait(instructions)
        if kernel["expression"].startswith(BETWEEN):
            assert {name.split(".")[0] for name in found} == {"LDG", "STG"}, kernel["expression"]
            continue
        if program in WITH_WINDOWS and kernel["expression"] in IN_MEMORY:
            assert not found, kernel["expression"]
            continue
        if program == "im2win_tensor_core_winograd":
            (tile,) = (one for one in WINOGRAD_TILES if kernel["expression"].startswith(one.expression(False)[:-2]))
            # Where values are loaded ahead, the first unit's are loaded elsewhere.
            one_unit = K_BLOCK // 4 * tile.products
            assert found in ({"LDG": one_unit}, {"LDG": 2 * one_unit}), kernel["expression"]
            continue
        if program != "im2win_tensor_core_sliding":
            assert not found, kernel["expression"]
            continue
        # The general instances look up which taps are padding, too, in tables that the host has made.
        loads, of_offsets = found.pop("LDG"), found.pop("LDG.128")
        units = of_offsets // (K_BLOCK // 4)
        assert units in (1, 2) and of_offsets == units * K_BLOCK // 4 and not found, kernel["expression"]
        expected = units * K_BLOCK
        assert loads == expected or (loads > expected and kernel["expression"].endswith(", 1>")), kernel["expression"]


@pytest.mark.skipif(find_nvdisasm() is None, reason="there is no nvdisasm")
@pytest.mark.parametrize("program", PROGRAMS)
def test_kernels_that_overlap(program: str, compiled: Compiled) -> None:
    """Who prepares lets the next kernel begin, before all else; only kernels that are launched so wait for another."""
    report, kernels = report_in(compiled(program)), instructions_in(compiled(program))
    for kernel in report["kernels"]:
        opcodes = [instruction["opcode"].split(".")[0] for instruction in kernels[kernel["symbol"]]]
        waits = program in WAITING and kernel["expression"] not in PREPARING
        assert ("ACQBULK" in opcodes) == waits, kernel["expression"]
        prepares = kernel["expression"] in PREPARING or kernel["expression"].startswith(BETWEEN)
        assert ("PREEXIT" in opcodes) == prepares, kernel["expression"]
        if "PREEXIT" in opcodes:
            assert not {*MEMORY, "BRA", "EXIT", "BAR"} & set(opcodes[: opcodes.index("PREEXIT")])


@pytest.mark.skipif(find_nvdisasm() is None, reason="there is no nvdisasm")
def test_loads_of_the_next_step_come_before_the_products_of_this_one(compiled: Compiled) -> None:
    """The compiler moved them down to where Winograd's kernel transforms what is loaded: a fifth slower on an H100."""
    folder, tile = compiled("im2win_winograd"), WINOGRAD_TILE
    report, kernels = report_in(folder), instructions_in(folder)
    for symbol in [kernel["symbol"] for kernel in report["kernels"] if kernel["expression"] not in PREPARING]:
        between, most = 0, 0
        for instruction in kernels[symbol]:
            name = instruction["opcode"].split(".")[0]
            between = 0 if name == "LDG" else between + (name == "FFMA")
            if name == "STS":
                most = max(most, between)
        assert most >= (tile.k - 1) * tile.micro_m * tile.micro_n


def test_a_missing_wait_is_seen() -> None:
    """Of two ways to a read, one waits."""
    branch = {"opcode": "BRA", "operands": "0x30", "other-attributes": {"control-flow": "True"}, "predicate": "@P0"}
    wait, read, end = {"opcode": "ACQBULK"}, {"opcode": "LDG.E.128.CONSTANT"}, {"opcode": "EXIT"}
    assert before_the_wait([branch, wait, read, end, read]) == {}
    assert before_the_wait([branch, wait, end, read, end]) == {"LDG.128": 1}
    assert before_the_wait([wait | {"predicate": "@P0"}, read, end]) == {"LDG.128": 1}


@pytest.mark.skipif(find_nvdisasm() is None, reason="there is no nvdisasm")
@pytest.mark.parametrize(("program", "architecture"), TENSOR_CORE)
def test_tensor_core_kernels_use_the_tensor_core(program: str, architecture: str, compiled: Compiled) -> None:
    report = report_in(compiled(program, architecture))
    assert [kernel["expression"] for kernel in report["kernels"]] == list(PROGRAMS[program])
    for kernel in report["kernels"]:
        if kernel["expression"] in PREPARING or kernel["expression"].startswith(BETWEEN):
            continue
        counts = kernel["instructions"]
        assert counts[TENSOR_CORE[program, architecture]] > 0
        # Results are promoted to FP32 sums outside the tensor core; nothing goes to local memory.
        assert counts["FFMA"] > 0
        assert not {"LDL", "STL"} & set(counts)


def test_unknown_architecture_is_a_clear_error() -> None:
    with pytest.raises(CompileError, match="direct.cu does not compile for sm_7"):
        compile_program("direct", "sm_7")


def test_compiling_is_deterministic() -> None:
    assert compile_program("direct", "sm_90a")[0] == compile_program("direct", "sm_90a")[0]

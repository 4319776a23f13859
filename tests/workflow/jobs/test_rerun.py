"""What is done again, and what is not: through Snakemake, with programs that stand in for measuring and compiling."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time

import pytest

from tests.workflow.conftest import Checkout, copy_checkout, pretended

NOTHING = "Nothing to be done"
POINTS = "results/cpu/points/tiny/tiny/strict_fp32/batch2"
TINY = ("results/cpu/measurements.csv", "--config", "experiment=tiny", "layer=odd_window")
PAPER = (
    "results/nvidia-h100-80gb-hbm3/measurements.csv",
    "--config",
    "experiment=paper",
    "layer=conv12",
    "algorithm=direct,im2win_base,im2win,im2col_cublas",
)
CPU = ("cpu_direct", "cpu_fft", "cpu_im2col", "cpu_im2win", "cpu_torch")


#: A change of meaning, by the ending of the file.
CHANGES = {".py": b"\n_NEW = 1\n", ".mplstyle": b"lines.linewidth: 2\n", ".csv": b"\n", ".yaml": b""}
WHOLE = ("--config", "experiment=tiny", "layer=odd_window")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which a run has come to its end."""
    made = pretended(copy_checkout(tmp_path_factory.mktemp("drawn") / "checkout"))
    made.ran(*WHOLE)
    return made


def test_failed_and_unfinished_points(checkout: Checkout) -> None:
    checkout.outcomes(cpu_fft="failed", cpu_direct="unsupported")
    checkout.ran(*TINY)
    assert checkout.taken() == [f"odd_window/{name} 1" for name in CPU]

    # What failed is measured again, as often as it fails; what is unsupported has its answer.
    checkout.ran(*TINY)
    assert checkout.taken() == ["odd_window/cpu_fft 2"]
    # A damaged result is replaced.
    checkout.outcomes()
    (checkout.folder / POINTS / "odd_window/cpu_torch/result.json").write_text("{")
    checkout.ran(*TINY)
    assert checkout.taken() == ["odd_window/cpu_fft 3", "odd_window/cpu_torch 1"]

    # Touching everything, a comment in a kernel's module and other rules or resources repeat no measurement.
    for path in checkout.folder.rglob("*"):
        if path.suffix in (".py", ".smk", ".yaml", ".cu", ".cuh") or path.name == "Snakefile":
            path.touch()
    checkout.replace("kernels/families/cpu.py", "import torch\n", "import torch  # a comment\n\n\n")
    checkout.replace("workflow/harness/timing.py", "import torch\n", "import torch\nimport this\n")
    checkout.replace("workflow/rules/figures.smk", "mem_mb=2000", "mem_mb=3000")
    checkout.replace("workflow/jobs/measurements.py", "_MEMORY_MB = 10, 8000", "_MEMORY_MB = 10, 9000")
    assert NOTHING in checkout.ran(*TINY)

    # Another meaning of the module measures its algorithms again: those that were chosen.
    checkout.replace("kernels/families/cpu.py", "import torch", "import this\nimport torch")
    checkout.ran(*TINY, "algorithm=cpu_direct,cpu_fft")
    assert checkout.taken() == ["odd_window/cpu_direct 1", "odd_window/cpu_fft 3"]
    table = (checkout.folder / TINY[0]).read_text()
    assert "cpu_fft" in table and "cpu_torch" not in table


def test_a_time_that_cannot_be_stops_the_run(checkout: Checkout) -> None:
    both = (*TINY[:-1], "layer=odd_window,odd_channels")
    checkout.outcomes(cpu_im2col="over the ceiling")
    result = checkout.snakemake(*both)
    assert result.returncode == 1
    first, second = checkout.taken()  # of whichever layer came first
    layer = first.split("/")[0]
    assert (first, second) == (f"{layer}/cpu_direct 1", f"{layer}/cpu_im2col 1")
    named = f"tiny/strict_fp32/batch2/{layer}/cpu_im2col: as the test asks"
    assert f"error: the run was stopped, because no honest number can be this good: {named}" in result.stdout
    assert not (checkout.folder / TINY[0]).exists()

    # What was measured stays; the next run goes on where this one stopped.
    checkout.outcomes()
    checkout.ran(*both)
    taken = checkout.taken()
    assert f"{layer}/cpu_direct 1" not in taken
    assert f"{layer}/cpu_im2col 2" in taken
    assert len(taken) == 9
    provenance = json.loads((checkout.folder / "results/cpu/provenance.json").read_text())
    assert provenance["ceilings"]["copy_bytes_per_s"] == 1e12
    assert checkout.taken("ceilings.log") == ["cpu cpu"]


def test_ceilings_are_measured_again_where_their_program_changes(checkout: Checkout) -> None:
    checkout.ran(*TINY)
    assert checkout.taken("ceilings.log") == ["cpu cpu"]
    checkout.taken()
    checkout.replace("workflow/harness/ceilings.py", "_REPEATS = 12", "_REPEATS = 13")
    checkout.ran(*TINY)
    assert checkout.taken("ceilings.log") == ["cpu cpu"]
    assert checkout.taken() == []


@pytest.mark.parametrize(
    ("program", "rules"),
    [
        ("workflow/aggregate.py", {"aggregate"}),
        ("analysis/table/schema.py", {"aggregate", "judge_claims", "draw_figures", "write_report", "summary"}),
        ("analysis/summary.py", {"summary"}),
        ("analysis/charts/paper.mplstyle", {"draw_figures"}),
        ("analysis/reference/claims.csv", {"judge_claims"}),
        ("conf/algorithm/cpu_fft.yaml", {"draw_figures", "write_tables", "write_report", "write_guide"}),
        ("workflow/harness/timing.py", {"sources"}),
    ],
)
def test_a_changed_program_repeats_its_rule(drawn: Checkout, program: str, rules: set[str]) -> None:
    file = drawn.folder / program
    before = file.read_bytes()
    try:
        file.write_bytes(before.replace(b"(CPU)", b"(the CPU)") + CHANGES[file.suffix])
        planned = drawn.ran("-n", *WHOLE)
        assert rules <= set(re.findall(r"^(\w+) +\d+$", planned, re.MULTILINE)), planned
        file.write_bytes(before + (b"# a remark\n" if file.suffix == ".py" else b""))  # dates do not count
        assert NOTHING in drawn.ran("-n", *WHOLE)
    finally:
        file.write_bytes(before)


def test_changed_kernels(gpu_checkout: Checkout) -> None:
    checkout = gpu_checkout
    checkout.ran(*PAPER)
    programs = ("ceilings", "direct", "im2win", "im2win_base", "im2win_transform")
    assert checkout.taken("compiled.log") == [f"{name} sm_90a" for name in programs]
    assert len(checkout.taken()) == 4

    checkout.replace("kernels/cuda/im2win_base.cu", "\n", "\n\n/* a comment */   \n")
    assert NOTHING in checkout.ran(*PAPER)

    # The meaning of one kernel: it alone is compiled and measured.
    with (checkout.folder / "kernels/cuda/im2win_base.cu").open("a") as file:
        file.write("__device__ int one;\n")
    checkout.ran(*PAPER)
    assert checkout.taken("compiled.log") == ["im2win_base sm_90a"]
    assert checkout.taken() == ["conv12/im2win_base 1"]

    # Of one that two algorithms launch: both.
    with (checkout.folder / "kernels/cuda/im2win_transform.cu").open("a") as file:
        file.write("__device__ int two;\n")
    checkout.ran(*PAPER)
    assert checkout.taken("compiled.log") == ["im2win_transform sm_90a"]
    assert checkout.taken() == ["conv12/im2win 1", "conv12/im2win_base 1"]

    # One protocol of those that were measured: the table changes, nothing is measured.
    checkout.ran(*PAPER, "protocol=kernel_only")
    table = (checkout.folder / PAPER[0]).read_text()
    assert "kernel_only" in table and "end_to_end" not in table
    assert checkout.taken() == []


def test_a_killed_run_is_resumed(checkout: Checkout) -> None:
    ten = (*TINY[:-1], "layer=odd_window,odd_channels")
    checkout.outcomes(seconds=2)
    running = subprocess.Popen(
        checkout.command(*ten), cwd=checkout.folder, env=checkout.environment(), start_new_session=True
    )
    log = checkout.folder / "measured.log"
    deadline = time.monotonic() + 60
    while not (log.exists() and len(log.read_text().splitlines()) >= 3):
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.05)

    refused = checkout.snakemake(*ten)
    assert refused.returncode != 0
    assert "error: another run is at work in results" in refused.stdout

    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    done = checkout.taken()
    checkout.outcomes()
    checkout.ran(*ten)
    again = checkout.taken()
    # The one that was being recorded when the run was killed may have been finished and is measured once more.
    assert len(set(done) & set(again)) <= 1
    assert len(set(done) | set(again)) == 10


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("layr=conv1",), ["unknown key 'layr'", "did you mean layer?"]),
        (("archive=nowhere",), ["unknown archive 'nowhere'"]),
    ],
)
def test_bad_input_ends_without_traceback(checkout: Checkout, arguments: tuple[str, ...], named: list[str]) -> None:
    result = checkout.snakemake("--config", *arguments)
    assert result.returncode == 1
    for text in ["error: ", *named]:
        assert text in result.stdout
    assert "Traceback" not in result.stdout
    assert "Building DAG" not in result.stdout


def test_the_bad_size_of_a_layer(checkout: Checkout) -> None:
    checkout.replace("conf/layer/conv5.yaml", "kernel_h: 5", "kernel_h: 50")
    result = checkout.snakemake("-n")
    assert result.returncode == 1
    assert "kernel_h is 50 but the input's height is only 24" in result.stdout
    assert "Traceback" not in result.stdout


def test_stored_results_are_their_points(checkout: Checkout) -> None:
    checkout.ran(*TINY[:-1], "layer=odd_window", "algorithm=cpu_torch")
    provenance = json.loads((checkout.folder / "results/cpu/provenance.json").read_text())
    assert provenance["device"] == {"name": "Stand-in", "slug": "cpu", "kind": "cpu"}
    (point,) = provenance["points"]
    assert point["config"]["layer"]["name"] == point["layer"] == "odd_window"
    assert f"results/cpu/{point['run']['log']}" == f"{POINTS}/odd_window/cpu_torch/log.txt"

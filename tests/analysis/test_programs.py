"""The programs: all files of one table, one-line errors, and imports that stay light."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis import claims, figures, guide, report, tables
from analysis.table import archive as table
from analysis.table.schema import TABLE_FILES
from analysis.writing.tables import DAGGER
from tests.analysis.conftest import make_rows, network_row, write_networks, write_table

Rows = list[dict[str, Any]]
Build = Callable[..., Path]
ROOT = Path(__file__).parents[2]


def today(rows: Rows, **changed: str) -> dict[str, Any]:
    return {"algorithms": {row["algorithm"]: row["source_hash"] for row in rows} | changed, "harness": "harness"}


def run_all(monkeypatch: pytest.MonkeyPatch, folder: Path, sources: dict[str, Any], drawn: bool = True) -> str:
    """Run the programs on a folder, in this process, and return the report; without figures unless `drawn`."""
    (folder / "sources.json").write_text(json.dumps(sources))

    def call(main: Callable[[], None], *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["program", "--table", str(folder), *arguments])
        main()

    if drawn:
        call(figures.main, "--output", str(folder / "figures"), "--format", "svg")
    call(claims.main, "--output-dir", str(folder))
    call(tables.main, "--claims", str(folder / "claims.csv"), "--output", str(folder / "tables"))
    links = ["--figures", str(folder / "figures"), "--tables", str(folder / "tables")]
    given = ["--sources", str(folder / "sources.json"), "--claims", str(folder / "claims.csv")]
    call(report.main, *given, *links, "--output", str(folder / "report.md"), "--html", str(folder / "report.html"))
    call(guide.main, "--output", str(folder / "guide.md"))
    return (folder / "report.md").read_text()


@pytest.fixture(scope="module")
def of_a_gpu(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a GPU's table on which all programs have run, and the report; several tests look at it."""
    folder = write_table(tmp_path_factory.mktemp("programs") / "test-gpu", make_rows(), "cuda")
    with pytest.MonkeyPatch.context() as monkeypatch:
        return folder, run_all(monkeypatch, folder, today(make_rows()))


@pytest.mark.xdist_group("the programs on a GPU's table")
def test_the_report_of_a_gpu(of_a_gpu: tuple[Path, str]) -> None:
    folder, text = of_a_gpu
    assert "Of the paper's 6 claims, 4 are reproduced." in text
    assert "im2win, the paper's kernel, is 2.00x as fast as im2col + cuBLAS and 0.800x as fast as best cuDNN." in text
    assert "| im2win | strict_fp32 | 8.00 (conv1) to 16.8 (conv12) | 0.800x, 0 of 12 |" in text
    assert "CUDNN_STATUS_NOT_SUPPORTED" in text
    assert "points/conv1/cudnn_winograd/log.txt" in text
    assert "3.44x, the abstract says 3.5x" in text
    assert "32 input channels in conv4" in text
    assert "| software.torch | 2.0 |" in text
    assert DAGGER not in text
    assert "Stale" not in text
    for name in ("tflops", "memory", "ablation"):
        assert f"](figures/{name}.svg)" in text
        assert (folder / "figures" / f"{name}.svg").is_file()
        assert f"](tables/{name}.csv)" in text
        assert (folder / "tables" / f"{name}.csv").is_file()


def test_the_report_of_a_cpu(build: Build, cpu_rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    text = run_all(monkeypatch, build(cpu_rows, "cpu"), today(cpu_rows))
    assert "None of the paper's 6 claims is testable here (measured on the CPU backend" in text
    assert "GFLOPS" in text
    assert "figures/ablation" not in text
    assert "Every row is ok." in text


def test_stale_numbers_are_marked(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = make_rows()
    sources = today(rows, cudnn_implicit_gemm="changed")
    del sources["algorithms"]["im2win_base"]
    text = run_all(monkeypatch, build(rows), sources, drawn=False)
    assert "**Stale:** the sources of cuDNN implicit GEMM have changed" in text
    assert "Today's sources do not have im2win, base" in text
    lines = {line.split(" | ")[0]: line for line in text.split("### Speed")[1].split("### Memory")[0].splitlines()}
    assert lines["| cuDNN implicit GEMM"].count(DAGGER) == 12
    assert lines["| best cuDNN"].count(DAGGER) == 12  # it is the implicit GEMM
    assert lines["| im2win / best cuDNN"].count(DAGGER) == 12
    assert DAGGER not in lines["| im2win"]


@pytest.mark.xdist_group("the programs on a GPU's table")
def test_a_second_run_writes_the_same_tables(of_a_gpu: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = of_a_gpu

    def written() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    first = written()
    for path in first:
        if path.name not in (*TABLE_FILES, "sources.json"):
            path.unlink()
    run_all(monkeypatch, folder, today(make_rows()))
    assert written() == first
    # table, figures with captions, tables, claims, reports, guide, sources
    assert len(first) == 3 + 20 + 33 + 2 + 2 + 1 + 1


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_a_damaged_table_ends_a_program_with_one_line(build: Build) -> None:
    folder = build(make_rows(["direct"]))
    (folder / table.MEASUREMENTS).write_text("layer\n")
    done = python("-m", "analysis.claims", "--table", str(folder), "--output-dir", str(folder))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert "missing columns" in done.stderr
    assert not (folder / "claims.csv").exists()


def test_importing_analysis_stays_light() -> None:
    code = "import sys, analysis.report, analysis.guide, analysis.figures, analysis.claims, analysis.tables\n"
    code += "banned = {'torch', 'hydra', 'omegaconf', 'snakemake', 'cuda', 'kernels', 'workflow'}\n"
    code += "print(sorted(banned & set(sys.modules)))"
    done = python("-c", code)
    assert done.stderr == ""
    assert done.stdout.strip() == "[]"


def test_reading_a_table_needs_no_plotting() -> None:
    done = python("-c", "import sys, analysis.table.archive; print('matplotlib' in sys.modules)")
    assert done.stdout.strip() == "False"


def test_several_numeric_classes_and_batches_in_one_report(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    tf32 = make_rows(["im2win_tensor_core", "cudnn_gemm"], numerics="tf32")
    folder = build([*make_rows(), *make_rows(batch=1), *tf32])
    text = run_all(monkeypatch, folder, today(make_rows()))
    assert "### On suite paper_table, batch 64, tf32 (experiment paper)" in text
    assert "(im2win, the paper's kernel, was not measured in tf32)" in text
    assert "Today's sources do not have im2win, tensor cores" in text
    page = (folder / "report.html").read_text()
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert "<summary>On suite paper_table, batch 1, strict_fp32 (experiment paper)</summary>" in page


def test_networks_are_beside_the_papers_layers(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's figures and tables are the same bytes with networks in the table."""
    of_network = [network_row("cudnn_autotuned", "square", 2.0), network_row("im2win_fused", "square", 1.0)]
    layers = make_rows(["im2win", "cudnn_gemm", "direct"])
    without, both = build(layers, name="without"), build([*layers, *of_network], name="both")
    write_networks(both, ("net", "square", 2, None, ""))
    text = run_all(monkeypatch, both, today([*layers, *of_network]))
    run_all(monkeypatch, without, today(layers))
    of_all = {"captions.json", "networks.svg", "network_time.svg", "networks", "network_layers", "outcome", "machine"}
    for path in [*(without / "figures").iterdir(), *(without / "tables").iterdir(), without / "claims.csv"]:
        if not {path.name, path.stem} & of_all and path.is_file():
            assert path.read_bytes() == (both / path.relative_to(without)).read_bytes(), path.name
    assert "net (batch 64): the best mix of ours is 2.00x as fast as best cuDNN" in text
    assert "](figures/networks.svg)" in text and "](figures/network_time.svg)" in text
    assert "### The layers of networks" in text and "### For the network net, batch 64" in text
    assert "](figures/networks.svg)" not in (without / "report.md").read_text()
    assert "This table holds no network" in (without / "report.md").read_text()
    alone = write_networks(build(of_network, name="alone"), ("net", "square", 2, None, ""))
    text = run_all(monkeypatch, alone, today(of_network))
    assert "networks alone, and none of the paper's layers" in text
    assert "This table holds none of the paper's layers." in text
    captions = json.loads((alone / "figures/captions.json").read_text())
    assert captions["tflops"] == "Not drawn: this table holds networks alone."
    assert "Geometric means: 2.00x over best cuDNN (1 network)" in captions["networks"]

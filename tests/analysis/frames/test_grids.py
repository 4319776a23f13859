"""The tables of numbers over layers, and that each is whole as LaTeX."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.frames import grids, inventory
from analysis.prose.claims import explained
from analysis.table import archive as table
from analysis.table.archive import Archive
from analysis.writing.tables import Table

Rows = list[dict[str, Any]]
ROOT = Path(__file__).resolve().parents[3]


def build_all(archive: Archive) -> dict[str, Table]:
    """The grids, the layers and what is not ok."""
    rest = {"layers": inventory.layers(archive), "outcome": inventory.outcome(archive)}
    return grids.build(archive) | rest


def test_every_latex_table_is_whole(archive: Archive) -> None:
    for name, one in build_all(archive).items():
        text = one.latex(name, archive.device_name)
        assert text.count(r"\begin{") == text.count(r"\end{") == 2 * len(one.blocks)
        for block in one.blocks:
            assert len({len(row) for row in [block.header, *block.rows]}) == 1
        for line in text.splitlines():
            if line.endswith(r"\\"):
                assert re.search(r"(?<!\\)[_%#]", line) is None, line


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no LaTeX here")
def test_latex_typesets_every_table_of_an_archive(tmp_path: Path) -> None:
    found = table.read(ROOT / "analysis" / "archive" / "nvidia-h200")
    claims_file = tmp_path / "claims.csv"
    claims_file.write_text(explained(found).to_csv(index=False))
    built = build_all(found) | {"machine": inventory.machine(found), "claims": inventory.claims(claims_file)}
    body = "\\clearpage\n".join(one.latex(name, found.device_name) for name, one in built.items())
    head = r"\documentclass[twocolumn]{article}\usepackage[margin=0.75in]{geometry}\usepackage{array,booktabs}"
    (tmp_path / "all.tex").write_text(f"{head}\n\\begin{{document}}\n{body}\nText.\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "all.log").read_text(errors="replace")
    assert "Float too large" not in log
    wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", log)]
    assert max(wide, default=0) < 10


def test_missing_layers_and_nothing_ok(
    build: Callable[..., Path], make_rows: Callable[..., Rows], make_row: Callable[..., dict[str, Any]]
) -> None:
    rows = [row for row in make_rows(["im2win", "direct"]) if row["layer"] != "conv7"]
    rows.append(make_row("cudnn_fft", "conv1", status="unsupported", reason="no"))
    built = build_all(table.read(build(rows)))
    speed = built["tflops"].frame
    assert "conv7" not in speed.columns
    best = speed[speed["algorithm"] == "cudnn_best"]
    assert best["conv1"].isna().all()
    assert "unsup." in built["tflops"].latex("tflops", "GPU")
    assert "conv7" not in set(built["layers"].frame["layer"])


def test_tables_hold_the_numbers(archive: Archive) -> None:
    built = build_all(archive)
    speed = built["tflops"].frame.set_index(["algorithm", "over"])
    assert speed.loc[("im2win", ""), "conv1"] == 8.0
    assert speed.loc[("im2win", "im2col_cublas"), "conv12"] == pytest.approx(2.0)
    assert pd.isna(speed.loc[("cudnn_winograd", ""), "conv1"])
    assert "unsup." in built["tflops"].markdown
    assert list(speed.columns[-12:]) == [f"conv{index}" for index in range(1, 13)]
    memory = built["memory"].frame.set_index(["algorithm", "over"])
    assert memory.loc[("cudnn_best", ""), "conv1"] == 1500
    assert set(built["best_cudnn"].frame["chosen"]) == {"cudnn_implicit_gemm"}
    assert len(built["outcome"].frame) == 12
    layers = built["layers"].frame.set_index("layer")
    assert layers.at["conv12", "flop_per_image"] == 2 * 512 * 5 * 5 * 512 * 3 * 3

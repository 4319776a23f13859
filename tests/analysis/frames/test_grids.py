"""Tables as LaTeX, and those of the layers, the machine and the claims."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import claims, tables
from analysis.frames import inventory
from analysis.table import archive as table
from analysis.table.archive import Archive
from analysis.writing.tables import GAP, LINE, Block, Table, escape

Rows = list[dict[str, Any]]
ROOT = Path(__file__).resolve().parents[3]


def test_latex_is_escaped() -> None:
    assert escape("a_b & 5 % of $x^2 #1 {~} \\ †") == (
        r"a\_b \& 5 \% of \$x\textasciicircum{}2 \#1 \{\textasciitilde{}\} \textbackslash{} $\dagger$"
    )
    assert escape('<|>"') == r"\textless{}\textbar{}\textgreater{}\textquotedblright{}"
    assert escape("a/b_c", breaks=True) == r"a/\allowbreak{}b\_\allowbreak{}c"


def test_a_block_as_latex() -> None:
    reason = " ".join(["why"] * 50)
    block = Block(["name", "TFLOPS", "reason"], [["im2win", "1.5", reason]], (0, 2), "batch 64")
    lines = Table("Speed", pd.DataFrame(), (block,), "A note.").latex("best_cudnn", "GPU_1").splitlines()
    assert r"\caption{Speed on GPU\_1: batch 64. A note.}" in lines
    assert r"\label{tab:best-cudnn-1}" in lines
    room = (LINE - 3 * GAP - len("im2win") - len("TFLOPS")) / LINE
    assert rf"\begin{{tabular}}{{lr>{{\raggedright\arraybackslash}}p{{{room:.3f}\textwidth}}}}" in lines
    inner = lines[lines.index(r"\toprule") : lines.index(r"\bottomrule") + 1]
    assert inner == [
        r"\toprule",
        r"name & TFLOPS & reason \\",
        r"\midrule",
        rf"im2win & 1.5 & {reason} \\",
        r"\bottomrule",
    ]


def test_a_narrow_column_holds_its_longest_word() -> None:
    word = "w" * 60
    block = Block(["a", "b"], [[f"{word} {word}", "text " * 30]], (0, 1))
    text = Table("Speed", pd.DataFrame(), (block,)).latex("speed", "GPU")
    first, second = (float(share) * LINE for share in re.findall(r"p\{(.*?)\\textwidth\}", text))
    assert first >= len(word)
    assert first + second <= LINE


def test_nothing_to_show() -> None:
    empty = Table("Ablation", pd.DataFrame(), closing="None was measured.")
    assert empty.markdown == "None was measured.\n"
    assert empty.latex("ablation", "GPU") == "% Ablation: None was measured.\n"


def test_every_latex_table_is_whole(archive: Archive) -> None:
    for name, one in tables.build(archive).items():
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
    claims_file.write_text(claims.judge(found).to_csv(index=False))
    built = tables.build(found) | {"machine": inventory.machine(found), "claims": inventory.claims(claims_file)}
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


def test_the_machine(archive: Archive) -> None:
    archive.provenance["environments"][0]["git"] = {"dirty": None, "files": ["a", "b"]}
    archive.provenance["ceilings"] = {"fp32_flops": 6e13}
    frame = inventory.machine(archive).frame.set_index("what")["value"]
    assert frame["device.name"] == "Test GPU 9000"
    assert frame["software.torch"] == "2.0"
    assert (frame["git.dirty"], frame["git.files"]) == ("not recorded", "a, b")
    assert frame["ceilings.fp32_flops"] == "60000000000000.0"
    archive.provenance.update(environments=[], ceilings={})
    assert "no environment" in inventory.machine(archive).markdown


def test_the_claims(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    path.write_text(claims.judge(archive).to_csv(index=False))
    built = inventory.claims(path)
    (block,) = built.blocks
    assert "suite paper_table, batch 64, end_to_end, strict_fp32" in block.heading
    first = dict(zip(block.header, block.rows[0], strict=True))
    assert first["published"] == "3.50x"
    assert first["measured"] == "2.00x"
    assert (first["layers"], first["verdict"]) == ("12 of 12", "partly")
    assert dict(zip(block.header, block.rows[-1], strict=True))["measured"] == "rank 1"
    assert r"12 of 12 & partly \\" in built.latex("claims", "GPU")


def test_selections_without_a_testable_claim_are_only_listed(
    build: Callable[..., Path], make_rows: Callable[..., Rows], tmp_path: Path
) -> None:
    rows = [*make_rows(), *make_rows(["cudnn_gemm"], numerics="tf32")]
    path = tmp_path / "claims.csv"
    path.write_text(claims.judge(table.read(build(rows))).to_csv(index=False))
    judged, untested = inventory.claims(path).blocks
    assert len(judged.rows) == 6
    assert [list(row) for row in untested.rows] == [["paper", "paper_table", 64, "end_to_end", "tf32"]]


def test_what_is_not_ok_is_told_once(build: Callable[..., Path], make_row: Callable[..., dict[str, Any]]) -> None:
    """One line for the layers, batches and protocols that are alike; of wrong results, whatever their errors are."""
    bad = [
        make_row("cudnn_fft", layer, status="unsupported", reason="no", batch=batch, protocol=protocol)
        for layer in ("conv1", "conv10", "conv2")
        for batch in (64, 128)
        for protocol in ("end_to_end", "kernel_only")
    ]
    bad += [
        make_row("cudnn_gemm", f"conv{index}", status="incorrect", reason=f"error 0.{index}", batch=batch)
        for index, batch in ((1, 64), (2, 64), (3, 128))
    ]
    built = inventory.outcome(table.read(build([make_row("im2win", "conv1"), *bad])))
    assert len(built.frame) == len(bad)
    (block,) = built.blocks
    told = [dict(zip(block.header, row, strict=True)) for row in block.rows]
    shown = {(line["algorithm"], line["reason"], line["layers"], line["batches"]) for line in told}
    assert shown == {
        ("cudnn_fft", "no", "conv1 conv2 conv10", "64 128"),
        ("cudnn_gemm", "conv1: error 0.1", "conv1 conv2", "64"),
        ("cudnn_gemm", "conv3: error 0.3", "conv3", "128"),
    }


def test_missing_layers_and_nothing_ok(
    build: Callable[..., Path], make_rows: Callable[..., Rows], make_row: Callable[..., dict[str, Any]]
) -> None:
    rows = [row for row in make_rows(["im2win", "direct"]) if row["layer"] != "conv7"]
    rows.append(make_row("cudnn_fft", "conv1", status="unsupported", reason="no"))
    built = tables.build(table.read(build(rows)))
    speed = built["tflops"].frame
    assert "conv7" not in speed.columns
    best = speed[speed["algorithm"] == "cudnn_best"]
    assert best["conv1"].isna().all()
    assert "unsup." in built["tflops"].latex("tflops", "GPU")
    assert "conv7" not in set(built["layers"].frame["layer"])

"""Tables as LaTeX, and those of the layers, the machine and the claims."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import claims, inventory, table, tables
from analysis.blocks import Block, Table, escape
from analysis.table import Archive

Rows = list[dict[str, Any]]


def test_latex_is_escaped() -> None:
    assert escape("a_b & 5 % of $x^2 #1 {~} \\ †") == (
        r"a\_b \& 5 \% of \$x\textasciicircum{}2 \#1 \{\textasciitilde{}\} \textbackslash{} $\dagger$"
    )
    assert escape("a/b_c", breaks=True) == r"a/\allowbreak{}b\_\allowbreak{}c"


def test_a_block_as_latex() -> None:
    block = Block(["name", "TFLOPS", "reason"], [["im2win", "1.5", "x" * 50]], (0, 2), "batch 64")
    lines = Table("Speed", pd.DataFrame(), (block,), "A note.").latex("best_cudnn", "GPU_1").splitlines()
    assert r"\caption{Speed on GPU\_1: batch 64. A note.}" in lines
    assert r"\label{tab:best-cudnn-1}" in lines
    assert r"\begin{tabular}{lrp{0.60\textwidth}}" in lines
    inner = lines[lines.index(r"\toprule") : lines.index(r"\bottomrule") + 1]
    assert inner == [
        r"\toprule",
        r"name & TFLOPS & reason \\",
        r"\midrule",
        rf"im2win & 1.5 & {'x' * 50} \\",
        r"\bottomrule",
    ]


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

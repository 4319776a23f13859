"""Tables as LaTeX."""

import re

import pandas as pd

from analysis.writing.tables import GAP, LINE, Block, Table, escape


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

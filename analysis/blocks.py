"""A table as data (its CSV) and as blocks for people, which are written as Markdown or as LaTeX with booktabs."""

from collections.abc import Container, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.text import markdown_table

DAGGER = "†"
ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    DAGGER: r"$\dagger$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
#: A column with a longer text than this many characters has its lines broken in LaTeX.
LONG = 40


@dataclass(frozen=True)
class Block:
    """A grid of cells; the columns in `texts` are aligned to the left, the others to the right."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    texts: Container[int] = (0,)
    heading: str = ""
    note: str = ""


@dataclass(frozen=True, eq=False)
class Table:
    """One table: the frame behind its CSV, and its blocks; `closing` explains them, or says why there are none."""

    title: str
    frame: pd.DataFrame
    blocks: tuple[Block, ...] = ()
    closing: str = ""

    @property
    def markdown(self) -> str:
        """The blocks as Markdown, without the table's title."""
        parts = []
        for block in self.blocks:
            above = f"#### {block.heading}\n\n" if block.heading else ""
            above += f"{block.note}\n\n" if block.note else ""
            parts.append(above + markdown_table(block.header, block.rows, block.texts))
        if self.closing:
            parts.append(f"{self.closing}\n")
        return "\n".join(parts)

    def csv(self) -> str:
        """The frame as CSV."""
        return str(self.frame.to_csv(index=False, lineterminator="\n", float_format="%.6g"))

    def latex(self, name: str, device: str) -> str:
        """The blocks as LaTeX floats across two columns, with labels tab:NAME-1 and so on; needs booktabs only."""
        if not self.blocks:
            return f"% {self.title}: {self.closing}\n"
        parts = ["% needs \\usepackage{booktabs}\n"]
        for index, block in enumerate(self.blocks, start=1):
            said = [f"{self.title} on {device}: {block.heading}".rstrip(": "), block.note, self.closing.rstrip(".")]
            caption = ". ".join(text for text in said if text) + "."
            parts.append(_float(block, caption, f"tab:{name.replace('_', '-')}-{index}"))
        return "\n".join(parts)


def escape(text: str, breaks: bool = False) -> str:
    """Write plain text so that LaTeX shows it as it is; with `breaks`, a line may end within a path or a name."""
    ends = r"\allowbreak{}" if breaks else ""
    return "".join(ESCAPES.get(one, one) + (ends if one in "/_" else "") for one in text)


def _float(block: Block, caption: str, label: str) -> str:
    cells = [[" ".join(str(cell).split()) for cell in row] for row in (block.header, *block.rows)]
    long = [max(len(row[index]) for row in cells) > LONG for index in range(len(block.header))]
    share = 0.6 / max(1, sum(long))  # of the text's width, for all the columns with broken lines
    broken = rf"p{{{share:.2f}\textwidth}}"
    columns = [broken if wide else "l" if index in block.texts else "r" for index, wide in enumerate(long)]
    header, *rows = (
        " & ".join(escape(cell, breaks) for cell, breaks in zip(row, long, strict=True)) + r" \\" for row in cells
    )
    lines = [r"\begin{table*}[t]", r"\centering\scriptsize\setlength{\tabcolsep}{3pt}"]
    lines += [rf"\caption{{{escape(caption)}}}", rf"\label{{{label}}}", rf"\begin{{tabular}}{{{''.join(columns)}}}"]
    lines += [r"\toprule", header, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", r"\end{table*}"]
    return "\n".join(lines) + "\n"

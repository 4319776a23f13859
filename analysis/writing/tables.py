"""A table as data, written as CSV, and as blocks for readers, written as Markdown or as LaTeX with booktabs."""

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.writing.phrases import markdown_table

DAGGER = "†"
ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedblright{}",
    DAGGER: r"$\dagger$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
#: Characters that fit in one line of a LaTeX table, and the width of the space between two columns in characters.
LINE, GAP = 122, 1
#: The LaTeX type of a column with line breaks.
BROKEN = r">{\raggedright\arraybackslash}p"
#: The characters after which a line of a narrow column may break.
ENDS = re.compile(r"[\s/_]")


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
        """The blocks as LaTeX floats across two columns, with labels tab:NAME-1 and so on; needs array and booktabs."""
        if not self.blocks:
            return f"% {self.title}: {self.closing}\n"
        parts = ["% needs \\usepackage{array,booktabs}\n"]
        for index, block in enumerate(self.blocks, start=1):
            said = [f"{self.title} on {device}: {block.heading}".rstrip(": "), block.note, self.closing.rstrip(".")]
            caption = ". ".join(text for text in said if text) + "."
            parts.append(_float(block, caption, f"tab:{name.replace('_', '-')}-{index}"))
        return "\n".join(parts)


def escape(text: str, breaks: bool = False) -> str:
    """Escape plain text for LaTeX; with `breaks`, a line may break within a path or a name."""
    ends = r"\allowbreak{}" if breaks else ""
    return "".join(ESCAPES.get(one, one) + (ends if one in "/_" else "") for one in text)


def _float(block: Block, caption: str, label: str) -> str:
    cells = [[" ".join(str(cell).split()) for cell in row] for row in (block.header, *block.rows)]
    widths = _widths(list(zip(*cells, strict=True)), block.texts)
    columns = [
        rf"{BROKEN}{{{wide / LINE:.3f}\textwidth}}" if wide else "l" if index in block.texts else "r"
        for index, wide in enumerate(widths)
    ]
    header, *rows = (
        " & ".join(escape(cell, wide > 0) for cell, wide in zip(row, widths, strict=True)) + r" \\" for row in cells
    )
    lines = [r"\begin{table*}[t]", r"\centering\scriptsize\setlength{\tabcolsep}{2pt}"]
    lines += [rf"\caption{{{escape(caption)}}}", rf"\label{{{label}}}", rf"\begin{{tabular}}{{{''.join(columns)}}}"]
    lines += [r"\toprule", header, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", r"\end{table*}"]
    return "\n".join(lines) + "\n"


def _widths(columns: Sequence[Sequence[str]], texts: Container[int]) -> list[int]:
    """Find the widths, in characters, of the columns whose lines must be broken for all to fit; 0 for the others.

    Columns of texts become as narrow as need be, the widest first, but no narrower than their longest word.
    """
    longest = [max(map(len, cells)) for cells in columns]
    words = [max(len(word) for cell in cells for word in ENDS.split(cell)) + 1 for cells in columns]
    least = [words[index] if index in texts else wide for index, wide in enumerate(longest)]
    room = LINE - GAP * len(columns)
    for limit in range(max(longest), 0, -1):
        found = [min(wide, max(limit, narrow)) for wide, narrow in zip(longest, least, strict=True)]
        if sum(found) <= room or limit == 1:
            break
    return [new if new < wide else 0 for new, wide in zip(found, longest, strict=True)]

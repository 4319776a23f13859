"""Numbers and tables as text, the same in every table and report."""

import math
from collections.abc import Container, Iterable, Sequence

#: Status -> what a table shows in place of a number; the reasons are in the table of what was not ok.
SHORT = {
    "unsupported": "unsup.",
    "out_of_memory": "OOM",
    "incorrect": "incorr.",
    "failed": "failed",
    "not measured": "-",
    "no number": "-",
}
SHORT_EXPLAINED = "unsup. = unsupported, OOM = out of memory, incorr. = incorrect result, - = not measured"


def number(value: float, significant: int = 3) -> str:
    """Write a number with three (or more) significant digits and no exponent; all digits before the point are kept."""
    if not math.isfinite(value):
        return "-"
    if value == 0:
        return "0"
    digits = max(0, significant - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"


def quantity(value: float, unit: str) -> str:
    """Write a claim's value in its unit: 3.10x, 23.1 %, rank 1; a dash for NaN."""
    if math.isnan(value):
        return "-"
    return f"rank {value:.0f}" if unit == "rank" else f"{number(value)}{'' if unit == 'x' else ' '}{unit}"


def names(items: Iterable[str], none: str = "none", commas: bool = False) -> str:
    """List names for a sentence: a, b and c; where a name has a comma, a; b, c; and d, unless `commas` is true."""
    items = list(items)
    if len(items) < 3:
        return " and ".join(items) or none
    if not commas and any(", " in item for item in items):
        return f"{'; '.join(items[:-1])}; and {items[-1]}"
    return f"{', '.join(items[:-1])} and {items[-1]}"


def plural(count: int, one: str, many: str = "") -> str:
    """Count things: 1 layer, 2 layers."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]], texts: Container[int] = (0,)) -> str:
    """Write a Markdown table; the columns in `texts` are aligned to the left, the others to the right."""

    def line(cells: Iterable[object]) -> str:
        return "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in cells) + " |"

    rule = ["---" if index in texts else "---:" for index in range(len(header))]
    return "\n".join([line(header), line(rule), *(line(row) for row in rows)]) + "\n"

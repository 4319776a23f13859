"""Write the verdicts on the paper's claims (`analysis.numbers.verdicts`) as a table and as text.

python -m analysis.claims --table FOLDER --output-dir FOLDER      writes claims.csv and claims.md
"""

import argparse
from pathlib import Path

import pandas as pd

from analysis.numbers import published
from analysis.numbers.bootstrap import LEVEL, TIMES
from analysis.numbers.series import PROTOCOLS, Selection
from analysis.numbers.verdicts import (
    COLUMNS,
    ENOUGH,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    NUMBERS,
    PARTLY,
    REPRODUCED,
    SELECTED,
    headline,
    judge,
)
from analysis.prose.reasons import abstract_and_logs
from analysis.table.archive import Archive, ArchiveError, read
from analysis.table.cli import run
from analysis.table.files import write_atomically
from analysis.writing.phrases import markdown_table, number, quantity


def summary(judged: pd.DataFrame, archive: Archive, reasons: bool = True) -> str:
    """Write the headline's claims as Markdown: a table with a column for each protocol, then the reasons."""
    alike = under_every_protocol(judged, archive)
    if alike.empty:
        return ""
    first = headline(judged, archive)
    protocols = sorted(alike["protocol"].unique(), key=lambda one: (*PROTOCOLS, one).index(one))
    lines, why = [], []
    for _, group in alike.groupby("claim", sort=False):
        rows = group.set_index("protocol")
        row = rows.loc[protocols[0]]
        cells = [told(rows.loc[protocol]) if protocol in rows.index else "-" for protocol in protocols]
        published = [quantity(row[name], row["unit"]) for name in ("published", "authors_logs")]
        lines.append([row["statement"], *cells, *published])
        texts = [text for text in (row["explanation"], row["decomposition"]) if isinstance(text, str) and text]
        if texts:
            why.append(f"* **{_capital(row['statement'])}.** {' '.join(texts)}\n")
    selected = Selection(*(first[name].iloc[0] for name in SELECTED))
    where = f"Suite {selected.suite}, batch {selected.batch}, {selected.numerics}, on {archive.device_name}:"
    table = markdown_table(["claim", *protocols, "published", "authors' logs"], lines, texts=range(len(protocols) + 3))
    text = f"{where}\n\n{table}"
    return text + (f"\n### Why\n\n{''.join(why)}" if reasons and why else "")


def under_every_protocol(judged: pd.DataFrame, archive: Archive) -> pd.DataFrame:
    """Take the claims of the headline's suite, batch and numeric class under each protocol."""
    first = headline(judged, archive)
    same = pd.Series(not first.empty, index=judged.index)
    for name in SELECTED:
        if name != "protocol":
            same &= judged[name].isin(first[name])
    return judged[same]


def to_markdown(judged: pd.DataFrame) -> str:
    """Write the claims as Markdown, one table per selection."""
    parts = []
    for key, group in judged.groupby(list(SELECTED), sort=False):
        parts.append(f"### {Selection(*key)} (experiment {key[0]})\n")
        header = ["claim", "verdict", "published", "authors' logs", "measured", "95 % interval", "layers"]
        header += ["carried by", "contradicted by"]
        lines = []
        for _, row in group.iterrows():
            shown = {name: quantity(row[name], row["unit"]) for name in ("published", "authors_logs", "measured")}
            verdict = f"**{row['verdict']}**" + (f" ({row['reason']})" if row["reason"] else "")
            layers = [f"{row['layers']} of {row['layers_of']}", _cell(row["carried_by"]), _cell(row["contradicted_by"])]
            lines.append([row["statement"], verdict, *shown.values(), _interval(row), *layers])
        parts.append(markdown_table(header, lines, texts=(0, 1, 7, 8)))
    return "\n".join(parts)


def rule() -> str:
    """Say the rule of the verdicts, what the intervals are and what is compared with, in a paragraph each."""
    half = (len(published.layers()) + 1) // 2
    return (
        f"A claim is *{REPRODUCED}* if the worse end of its interval is at {ENOUGH:.0%} of the published value or "
        f"beyond (a rank: first), *{PARTLY}* below that if the direction holds (a ratio above 1, a reduction above 0, "
        f"rank 2), else *{NOT_REPRODUCED}*; it is *{NOT_TESTABLE}* with fewer than {half} layers on which everything "
        f"compared is ok, and called ambiguous where the interval's other end would earn another verdict. A layer "
        f"carries a claim if it alone reaches {ENOUGH:.0%} of the published value, and contradicts it if im2win is not "
        f"ahead there.\n\nThe {LEVEL:.0%} interval is a percentile bootstrap of {TIMES} resamples: every row's raw "
        "samples are drawn again with replacement and reduced by the statistic that gave its time (the median; under "
        "`authors` the minimum for im2win and direct, the mean for the libraries), and the best cuDNN is chosen anew "
        "each time. It holds the noise within the measuring processes, not that between days or machines. Memory is "
        "read once per point, so a memory claim has no interval.\n\n"
        f"{abstract_and_logs()}\n"
    )


def read_claims(path: Path) -> pd.DataFrame:
    """Read a claims.csv that `analysis.claims` wrote. Raises ArchiveError."""
    way_out = "delete it and run snakemake, which judges the claims again"
    try:
        judged = pd.read_csv(path, keep_default_na=True)
    except FileNotFoundError:
        raise ArchiveError(path, "the file of the judged claims is missing", "run snakemake, which writes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ArchiveError(path, f"not CSV ({error})", way_out) from None
    if list(judged.columns) != list(COLUMNS):
        raise ArchiveError(path, f"columns must be {', '.join(COLUMNS)}", way_out)
    texts = [column for column in COLUMNS if column not in NUMBERS]
    return judged.astype({column: object for column in texts}).fillna({column: "" for column in texts})


def told(row: pd.Series) -> str:
    """Tell one verdict in a cell, with the number and its interval."""
    if pd.isna(row["measured"]):
        return f"**{row['verdict']}** ({row['reason']})"
    between = f" [{_interval(row)}]" if pd.notna(row["measured_low"]) and row["unit"] != "rank" else ""
    mark = ", ambiguous" if "ambiguous" in str(row["reason"]) else ""
    return f"**{row['verdict']}**{mark} {quantity(row['measured'], row['unit'])}{between}"


def _interval(row: pd.Series) -> str:
    low, high = row["measured_low"], row["measured_high"]
    if pd.isna(low):
        return row["interval"] if isinstance(row["interval"], str) and row["interval"] else "-"
    return f"{low:.0f} to {high:.0f}" if row["unit"] == "rank" else f"{number(low, 4)} to {number(high, 4)}"


def _cell(names: object) -> str:
    return names if isinstance(names, str) and names else "-"


def _capital(text: str) -> str:
    """Start a sentence, but leave the name im2win as it is."""
    return text if text.startswith("im2win") else text[:1].upper() + text[1:]


def main() -> None:
    """Write claims.csv and claims.md for one table."""
    parser = argparse.ArgumentParser(prog="python -m analysis.claims", description="Judge the paper's claims.")
    parser.add_argument("--table", type=Path, required=True, help="folder with measurements.csv")
    parser.add_argument("--output-dir", type=Path, required=True, help="folder for claims.csv and claims.md")
    arguments = parser.parse_args()
    archive = read(arguments.table)
    judged = judge(archive)
    content = judged.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    write_atomically(arguments.output_dir / "claims.csv", content)
    parts = [f"# The paper's claims, measured on {archive.device_name}\n", summary(judged, archive)]
    parts += [to_markdown(judged), rule()]
    write_atomically(arguments.output_dir / "claims.md", "\n".join(part for part in parts if part))


if __name__ == "__main__":
    run(main)

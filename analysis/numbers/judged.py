"""The judged claims as data: columns and reading of claims.csv, choosing its rows, and a row as text."""

from pathlib import Path

import pandas as pd

from analysis.numbers.series import pick
from analysis.numbers.verdicts import COLUMNS, SELECTED
from analysis.table.archive import Archive
from analysis.table.errors import ArchiveError
from analysis.writing.phrases import number, quantity

#: The columns of claims.csv: the verdicts, and their explanations (`analysis.prose.claims`).
CLAIM_COLUMNS = (*COLUMNS, "explanation", "decomposition")
NUMBERS = ("batch", "published", "authors_logs", "measured", "measured_low", "measured_high", "layers", "layers_of")


def read_claims(path: Path) -> pd.DataFrame:
    """Read a claims.csv that `analysis.claims` wrote. Raises ArchiveError."""
    way_out = "delete it and run snakemake, which judges the claims again"
    try:
        judged = pd.read_csv(path, keep_default_na=True)
    except FileNotFoundError:
        raise ArchiveError(path, "the file of the judged claims is missing", "run snakemake, which writes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ArchiveError(path, f"not CSV ({error})", way_out) from None
    if list(judged.columns) != list(CLAIM_COLUMNS):
        raise ArchiveError(path, f"columns must be {', '.join(CLAIM_COLUMNS)}", way_out)
    texts = [column for column in CLAIM_COLUMNS if column not in NUMBERS]
    return judged.astype({column: object for column in texts}).fillna({column: "" for column in texts})


def headline_claims(judged: pd.DataFrame, archive: Archive) -> pd.DataFrame:
    """Take the claims of the headline: the paper's layers end to end, if the table has them."""
    first = pick(archive.measurements)
    if first is None:
        return judged.head(0)
    keep = pd.Series(True, index=judged.index)
    for name in SELECTED:
        keep &= judged[name] == getattr(first, name)
    return judged[keep]


def under_every_protocol(judged: pd.DataFrame, archive: Archive) -> pd.DataFrame:
    """Take the claims of the headline's suite, batch and numeric class under each protocol."""
    first = headline_claims(judged, archive)
    same = pd.Series(not first.empty, index=judged.index)
    for name in SELECTED:
        if name != "protocol":
            same &= judged[name].isin(first[name])
    return judged[same]


def verdict_text(row: pd.Series) -> str:
    """Write a verdict, its number and its interval as one cell of a table."""
    if pd.isna(row["measured"]):
        return f"**{row['verdict']}** ({row['reason']})"
    between = f" [{interval_text(row)}]" if pd.notna(row["measured_low"]) and row["unit"] != "rank" else ""
    mark = ", ambiguous" if "ambiguous" in str(row["reason"]) else ""
    return f"**{row['verdict']}**{mark} {quantity(row['measured'], row['unit'])}{between}"


def interval_text(row: pd.Series) -> str:
    """Write the 95 % interval of a claim's value, or why it has none."""
    low, high = row["measured_low"], row["measured_high"]
    if pd.isna(low):
        return row["interval"] if isinstance(row["interval"], str) and row["interval"] else "-"
    return f"{low:.0f} to {high:.0f}" if row["unit"] == "rank" else f"{number(low, 4)} to {number(high, 4)}"

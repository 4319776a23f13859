"""The raw samples of a results table: `samples.csv.gz`, one line a sample, read fast and to the last bit."""

import csv
import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.table.errors import ArchiveError
from analysis.table.schema import KEY, KINDS, SAMPLE_COLUMNS, Cell, parse, wrong_columns
from analysis.table.statistics import Numbers


@dataclass(frozen=True, eq=False)
class Samples:
    """Raw times (ms) in the order of their file: the key of every series, and of every sample its series and number."""

    keys: list[tuple[Cell, ...]]
    series: NDArray[np.int64]
    number: NDArray[np.int64]
    times: Numbers

    def frame(self) -> pd.DataFrame:
        """Lay them out as a table with SAMPLE_COLUMNS."""
        columns: dict[str, object] = {}
        for index, column in enumerate(KEY):
            kind = "int64" if KINDS[column] == "integer" else object
            cells = np.empty(len(self.keys), dtype=kind)
            cells[:] = [key[index] for key in self.keys]
            columns[column] = cells[self.series]
        return pd.DataFrame(columns | {"sample": self.number, "time_ms": self.times})

    def by_series(self) -> tuple[Numbers, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Give times and numbers sorted by series and number, and where each series starts and how long it is."""
        order = np.lexsort((self.number, self.series))
        counts = np.bincount(self.series, minlength=len(self.keys))
        return self.times[order], self.number[order], np.cumsum(counts) - counts, counts


def no_samples() -> Samples:
    """Give the samples of a table without any."""
    return Samples([], np.empty(0, dtype="int64"), np.empty(0, dtype="int64"), np.empty(0))


def read_samples(path: Path) -> Samples:
    """Read samples.csv.gz. Raises ArchiveError."""
    try:
        content = gzip.decompress(path.read_bytes()).decode("utf-8")
    except FileNotFoundError:
        raise ArchiveError(path, "the file is missing") from None
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise ArchiveError(path, f"cut short or not gzip ({error})") from None
    header, *lines = content.replace("\r\n", "\n").split("\n")
    wrong = wrong_columns(header.split(","), SAMPLE_COLUMNS)
    if wrong:
        raise ArchiveError(path, wrong)
    if not lines or lines.pop():
        raise ArchiveError(path, "the last line has no end: the file was cut short")
    # The key is most of a line and the same for many: it is parsed once.
    split = [line.rsplit(",", 2) for line in lines]
    short = next((index for index, parts in enumerate(split) if len(parts) != 3), None)
    if short is not None:
        raise ArchiveError(path, f"line {short + 2}: fewer than {len(SAMPLE_COLUMNS)} cells")
    texts, numbers, times = zip(*split, strict=True) if split else ((), (), ())
    known: dict[tuple[Cell, ...], int] = {}
    codes: dict[str, int] = {}
    for text in dict.fromkeys(texts):
        try:
            codes[text] = known.setdefault(_key(text), len(known))
        except ValueError as error:
            raise ArchiveError(path, f"line {texts.index(text) + 2}: {error}") from None
    return Samples(
        list(known),
        np.array([codes[text] for text in texts], dtype="int64"),
        _parsed(path, "sample", numbers).astype("int64"),
        _parsed(path, "time_ms", times),
    )


def _key(text: str) -> tuple[Cell, ...]:
    (cells,) = csv.reader([text])
    if len(cells) != len(KEY):
        raise ValueError(f"{len(cells) + 2} cells instead of {len(SAMPLE_COLUMNS)}")
    return tuple(parse(cell, column, KINDS[column]) for column, cell in zip(KEY, cells, strict=True))


def _parsed(path: Path, column: str, texts: Sequence[str]) -> Numbers:
    """Parse a column of numbers, exactly. Raises ArchiveError for the first that is none."""
    kind = "number" if column == "time_ms" else "integer"
    try:
        parsed = np.array([float(text) if kind == "number" else int(text) for text in texts], dtype=float)
        good = np.isfinite(parsed) & ((parsed > 0) if kind == "number" else (parsed >= 0))
        bad = None if good.all() else int((~good).argmax())
    except ValueError:
        bad = next(index for index, text in enumerate(texts) if not _is_number(text, column, kind))
    if bad is not None:
        wanted = "a number above 0" if kind == "number" else "a whole number from 0"
        raise ArchiveError(path, f"line {bad + 2}, column {column}: {texts[bad]!r} is not {wanted}")
    return parsed


def _is_number(text: str, column: str, kind: str) -> bool:
    try:
        return parse(text, column, kind) is not None
    except ValueError:
        return False

"""The results table of one device: `measurements.csv`, `samples.csv.gz` and `provenance.json` in one folder.

`read` checks everything it reads and raises ArchiveError, whose message names the file, what is wrong with it and the
way out. The writers check the same things before they write, so that no damaged table is written. What a
row may hold is in `analysis.table.schema`.
"""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.table.check import check
from analysis.table.companions import MODELS
from analysis.table.errors import RESTORE, ArchiveError
from analysis.table.files import write_atomically
from analysis.table.manifest import check_manifest
from analysis.table.order import natural_key
from analysis.table.samples import Samples, no_samples, read_samples
from analysis.table.schema import (
    COLUMNS,
    KEY,
    KINDS,
    MEASUREMENTS,
    POINT_KEY,
    PROVENANCE,
    SAMPLE_COLUMNS,
    SAMPLE_KINDS,
    SAMPLES,
    TABLE_FILES,
    Cell,
    parse,
    problem_of,
    text_of,
    wrong_columns,
)

__all__ = [
    "COLUMNS",
    "KEY",
    "MEASUREMENTS",
    "POINT_KEY",
    "PROVENANCE",
    "SAMPLES",
    "SAMPLE_COLUMNS",
    "Archive",
    "ArchiveError",
    "read",
    "write",
    "write_measurements",
    "write_provenance",
    "write_samples",
]


@dataclass(frozen=True, eq=False)
class Archive:
    """The checked results of one device; times in ms, sizes in bytes, empty numbers as NaN."""

    folder: Path
    measurements: pd.DataFrame
    provenance: dict[str, Any]
    taken: Samples = field(default_factory=no_samples)

    @property
    def device_name(self) -> str:
        """The device's own name, e.g. NVIDIA H100 80GB HBM3."""
        return str(self.provenance["device"]["name"])

    @property
    def device_kind(self) -> str:
        """cuda or cpu."""
        return str(self.provenance["device"]["kind"])

    def points(self) -> dict[tuple[Any, ...], dict[str, Any]]:
        """The provenance of every point, by the values of POINT_KEY."""
        return {tuple(point[column] for column in POINT_KEY): point for point in self.provenance["points"]}

    def samples(self) -> pd.DataFrame:
        """Give every raw time (ms) as a table with SAMPLE_COLUMNS."""
        return self.taken.frame()


def read(folder: Path | str, manifest: bool = True) -> Archive:
    """Read one results folder and check it: its files against each other, and against a manifest where it has one.

    With `manifest` false that is left out. Raises ArchiveError.
    """
    folder = Path(folder)
    if not folder.is_dir():
        beside = sorted(path.parent.name for path in folder.parent.glob(f"*/{MEASUREMENTS}"))
        found = f"the ones in {folder.parent} are: {', '.join(beside)}" if beside else f"{folder.parent} holds none"
        raise ArchiveError(folder, "there is no such folder of results", found)
    for name in TABLE_FILES:
        if not (folder / name).is_file():
            raise ArchiveError(folder / name, "the file is missing")
    measurements = _read_measurements(folder / MEASUREMENTS)
    provenance = _read_provenance(folder / PROVENANCE)
    samples = read_samples(folder / SAMPLES)
    check(folder, measurements, samples, provenance)
    if manifest:
        check_manifest(folder)
    return Archive(folder, measurements, provenance, samples)


def write(
    folder: Path | str,
    rows: Iterable[Mapping[str, Any]],
    samples: Iterable[Mapping[str, Any]],
    provenance: Mapping[str, Any],
) -> None:
    """Write the three files of one device, each atomically. Raises ArchiveError before a wrong one is written."""
    folder = Path(folder)
    write_provenance(provenance, folder / PROVENANCE)
    write_samples(samples, folder / SAMPLES)
    write_measurements(rows, folder / MEASUREMENTS)


def write_measurements(rows: Iterable[Mapping[str, Any]], path: Path | str) -> None:
    """Write results rows (dicts with exactly COLUMNS; None or "" where there is no number), sorted by KEY."""
    content = _csv_text(rows, KINDS, Path(path))
    _parse_measurements(content, Path(path), "correct the row before it is written")
    write_atomically(Path(path), content)


def write_samples(samples: Iterable[Mapping[str, Any]], path: Path | str) -> None:
    """Write raw times (dicts with exactly SAMPLE_COLUMNS, ms) as CSV in gzip; the same samples give the same bytes."""
    content = _csv_text(samples, SAMPLE_KINDS, Path(path))
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as file:
        file.write(content.encode())
    write_atomically(Path(path), packed.getvalue())


def write_provenance(provenance: Mapping[str, Any], path: Path | str) -> None:
    """Write the machine, software and resolved configuration of every point as JSON."""
    path = Path(path)
    wrong = _provenance_problem(provenance)
    if wrong:
        raise ArchiveError(path, wrong, "correct it before it is written")
    write_atomically(path, json.dumps(provenance, indent=1, sort_keys=True) + "\n")


def _csv_text(rows: Iterable[Mapping[str, Any]], kinds: Mapping[str, str], path: Path) -> str:
    lines = []
    for row in rows:
        wrong = None if set(row) == set(kinds) else wrong_columns(row, kinds)
        try:
            if wrong:
                raise ValueError(wrong)
            lines.append([text_of(row[column], column, kind) for column, kind in kinds.items()])
        except ValueError as error:
            name = "/".join(str(row.get(column)) for column in KEY)
            raise ArchiveError(path, f"row {name}: {error}", "correct the row before it is written") from None
    key = [list(kinds).index(column) for column in (*KEY, "sample") if column in kinds]
    lines.sort(key=lambda line: tuple(natural_key(line[index]) for index in key))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(kinds)
    writer.writerows(lines)
    return text.getvalue()


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ArchiveError(path, f"not UTF-8 text at byte {error.start}") from None


def _read_measurements(path: Path) -> pd.DataFrame:
    return _parse_measurements(_read_text(path), path, RESTORE)


def _parse_measurements(content: str, path: Path, way_out: str) -> pd.DataFrame:
    reader = csv.reader(io.StringIO(content, newline=""))
    wrong = wrong_columns(next(reader, []), COLUMNS)
    if wrong:
        raise ArchiveError(path, wrong, way_out)
    if not content.endswith("\n"):
        raise ArchiveError(path, "the last line has no end: the file was cut short", way_out)
    rows: list[dict[str, Cell]] = []
    seen: dict[tuple[Cell, ...], int] = {}
    for cells in reader:
        where = f"line {reader.line_num}"
        if len(cells) != len(COLUMNS):
            raise ArchiveError(path, f"{where}: {len(cells)} cells instead of {len(COLUMNS)}", way_out)
        try:
            row = {column: parse(text, column, KINDS[column]) for column, text in zip(COLUMNS, cells, strict=True)}
        except ValueError as error:
            raise ArchiveError(path, f"{where}, {error}", way_out) from None
        problem = problem_of(row)
        if problem:
            raise ArchiveError(path, f"{where}, {problem}", way_out)
        key = tuple(row[column] for column in KEY)
        if key in seen:
            name = "/".join(str(part) for part in key)
            raise ArchiveError(path, f"{where}: the same point as line {seen[key]}, {name}", way_out)
        seen[key] = reader.line_num
        rows.append(row)
    if not rows and not (path.parent / MODELS).is_file():  # an experiment of whole networks alone has none
        raise ArchiveError(path, "there are no rows in it", way_out)
    return _frame(rows, KINDS)


def _frame(rows: list[dict[str, Cell]], kinds: Mapping[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(kinds))
    for column, kind in kinds.items():
        if kind != "text":  # integers that can be empty are floats too: exact up to 2**53 bytes
            frame[column] = frame[column].astype("int64" if column == "batch" else "float64")
    return frame


def _read_provenance(path: Path) -> dict[str, Any]:
    try:
        provenance = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise ArchiveError(path, f"cut short or not JSON (line {error.lineno}: {error.msg})") from None
    wrong = _provenance_problem(provenance)
    if wrong:
        raise ArchiveError(path, wrong)
    return dict(provenance)


def _provenance_problem(provenance: Any) -> str | None:
    if not isinstance(provenance, Mapping):
        return "not a JSON object"
    device = provenance.get("device")
    if not isinstance(device, Mapping) or not all(device.get(key) for key in ("name", "slug", "kind")):
        return "device: must hold name, slug and kind"
    if device["kind"] not in ("cuda", "cpu"):
        return f"device.kind: {device['kind']!r} is not one of cuda, cpu"
    for name in ("environments", "points"):
        entries = provenance.get(name)
        if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
            return f"{name}: must be a list of objects"
    for index, point in enumerate(provenance["points"]):
        missing = [column for column in POINT_KEY if column not in point]
        if missing:
            return f"points[{index}]: missing {', '.join(missing)}"
        environment = point.get("environment")
        if not isinstance(environment, int) or not 0 <= environment < len(provenance["environments"]):
            return f"points[{index}].environment: {environment!r} is not the index of an environment"
    return None

"""Adds a results table to an archive of the same device: the newest measurement of every experiment."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.table.archive import Archive
from analysis.table.companions import MODELS, key_of, read_beside
from analysis.table.schema import KEY

#: What a table holds: rows, samples and provenance, as `analysis.table.archive.write` takes them.
Content = tuple[list[dict[str, Any]], Iterator[dict[str, Any]], dict[str, Any]]


def experiments(archive: Archive) -> list[str]:
    """Name the experiments of a table."""
    return sorted(set(archive.measurements["experiment"]))


def merge(new: Archive, old: Archive | None = None) -> Content:
    """Give what `new` holds, and what `old` holds of other experiments. Ceilings and the device are those of `new`."""
    rows, samples, provenance = list(_records(new.measurements)), _records(new.samples()), dict(new.provenance)
    again = set(experiments(new))
    if old is None:
        return rows, samples, provenance
    rows += _records(_others(old.measurements, again))
    samples = chain(samples, _records(_others(old.samples(), again)))
    environments = list(new.provenance["environments"])
    points = [dict(point) for point in old.provenance["points"] if point["experiment"] not in again]
    timed = {_key(one) for one in new.provenance.get("models", ())}
    models = [dict(one) for one in old.provenance.get("models", ()) if _key(one) not in timed]
    for point in (*points, *models):
        environment = old.provenance["environments"][point["environment"]]
        if environment not in environments:
            environments.append(environment)
        point["environment"] = environments.index(environment)
    provenance |= {"environments": environments, "points": [*new.provenance["points"], *points]}
    kept = {_anchor(row) for row in _records(_others(old.measurements, again))}
    anchors = [anchor for anchor in old.provenance.get("anchors", ()) if _anchor(anchor) in kept]
    if anchors:
        provenance["anchors"] = [*new.provenance.get("anchors", ()), *anchors]
    if models:
        provenance["models"] = [*new.provenance.get("models", ()), *models]
    return rows, samples, provenance


def merge_companion(name: str, columns: Sequence[str], new: Path, old: Path, suites: Iterable[str]) -> str:
    """Give the table `name` of the folder `new` as CSV, and what that of `old` has of other suites among `suites`.

    Of whole networks, what it has of others, or with other backends, batches and modes.
    """
    added, kept = (_lines(folder, name, columns) for folder in (new, old))
    if name == MODELS:  # none of a suite's points
        again = {_key(line) for line in added}
        merged = [*added, *(line for line in kept if _key(line) not in again)]
    else:
        others = set(suites) - {line["suite"] for line in added}
        merged = [*added, *(line for line in kept if line["suite"] in others)]
    if not merged:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(merged)
    return text.getvalue()


def _anchor(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The point and protocol of a row of the table, or of a time that each GPU of a host measured."""
    return tuple(str(row[column]) for column in KEY if column != "experiment")


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, key_of(row)))


def _lines(folder: Path, name: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read the cells as they are written: what is no number stays what it is."""
    read_beside(folder, name, columns)  # raises where the table is damaged
    if not (folder / name).exists():
        return []
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _others(frame: pd.DataFrame, again: set[str]) -> pd.DataFrame:
    return frame[~frame["experiment"].isin(again)]


def _records(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for record in frame.to_dict("records"):
        yield {str(column): None if cell != cell else cell for column, cell in record.items()}

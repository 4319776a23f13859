"""What the files of a results table say of each other: each row's numbers follow from its samples and its sizes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.table.described import authors_statistic
from analysis.table.errors import ArchiveError
from analysis.table.samples import Samples
from analysis.table.schema import KEY, MEASUREMENTS, POINT_KEY, PROVENANCE, SAMPLES
from analysis.table.sizes import flops, sizes_of, tensor_bytes
from analysis.table.statistics import AUTHORS, MEAN, MEDIAN, MINIMUM, intervals, values

#: How far a recorded number may be from the one that follows, in parts of it: sums in another order, no more.
TOLERANCE = 1e-12

Row = Mapping[str, Any]
Point = Mapping[str, Any]


def check(folder: Path, measurements: pd.DataFrame, samples: Samples, provenance: Mapping[str, Any]) -> None:
    """Check rows, samples and provenance against each other.

    Every row has its point and every point its rows; every row that is ok has its samples, and no other has any; time
    and interval are the statistic of the samples, TFLOPS and tensor bytes follow from the sizes. Raises ArchiveError,
    which names the first row that does not hold, with both numbers.
    """
    rows = measurements.to_dict("records")
    points = _points(folder / PROVENANCE, provenance)
    _check_points(folder / PROVENANCE, rows, points)
    counts = dict(zip(samples.keys, np.bincount(samples.series, minlength=len(samples.keys)).tolist(), strict=True))
    _check_counts(folder / SAMPLES, rows, counts)
    ok = [row for row in rows if row["status"] == "ok"]
    found = [*_times(ok, points, folder / SAMPLES, samples), *_sizes(folder / PROVENANCE, rows, points)]
    if found:
        more = f" (and {len(found) - 1} more numbers do not hold)" if len(found) > 1 else ""
        raise ArchiveError(folder / MEASUREMENTS, found[0] + more)


def name_of(row: Row) -> str:
    """Name a row, by its key."""
    return "/".join(str(row[column]) for column in KEY)


def statistic_of(row: Row, point: Point) -> str:
    """Name the statistic of a row's time: the protocol's or, under `authors`, the artifact's for the algorithm.

    Where nothing describes the algorithm, it is the one whose kind of interval the row has.
    """
    config = point.get("config") or {}
    protocols = {entry.get("name"): entry.get("statistic") for entry in config.get("protocols") or ()}
    statistic = protocols.get(row["protocol"]) or (AUTHORS if row["protocol"] == AUTHORS else MEDIAN)
    if statistic != AUTHORS:
        return str(statistic)
    about = (config.get("algorithm") or {}).get("about") or {}
    told = about.get("authors_statistic") or authors_statistic(row["algorithm"])
    return told or (MINIMUM if row["time_ms_low"] == row["time_ms"] else MEAN)


def _points(path: Path, provenance: Mapping[str, Any]) -> dict[tuple[Any, ...], Point]:
    points: dict[tuple[Any, ...], Point] = {}
    for point in provenance["points"]:
        key = tuple(point[column] for column in POINT_KEY)
        if key in points:
            raise ArchiveError(path, f"{'/'.join(map(str, key))}: there twice")
        points[key] = point
    device = provenance["device"]["name"]
    for index, environment in enumerate(provenance["environments"]):
        other = (environment.get("device") or {}).get("name", device)
        if other != device:
            raise ArchiveError(path, f"environments[{index}] is of {other}, but the device is {device}")
    return points


def _check_points(path: Path, rows: list[dict[str, Any]], points: Mapping[tuple[Any, ...], Point]) -> None:
    """A table may leave protocols out, but then those of all points."""
    found: dict[tuple[Any, ...], dict[str, str]] = {}
    for row in rows:
        found.setdefault(tuple(row[column] for column in POINT_KEY), {})[row["protocol"]] = row["status"]
    there = {row["protocol"] for row in rows}
    for key in dict.fromkeys([*points, *found]):
        name, point = "/".join(map(str, key)), points.get(key)
        if point is None:
            raise ArchiveError(path, f"{name}: missing, but {MEASUREMENTS} has it")
        told = [entry.get("name") for entry in (point.get("config") or {}).get("protocols") or ()]
        protocols, statuses = set(found.get(key, ())), set(found.get(key, {}).values())
        if not protocols or (told and protocols != there & set(told)) or statuses != {point.get("status")}:
            says = f"{point.get('status')} under {', '.join(told) or 'some protocol'}"
            rather = ", ".join(f"{status} under {protocol}" for protocol, status in found.get(key, {}).items())
            wrong = f"{name}: its status or protocols ({says}) are not those of {MEASUREMENTS} ({rather or 'no row'})"
            raise ArchiveError(path, wrong)


def _check_counts(path: Path, rows: list[dict[str, Any]], counts: Mapping[tuple[Any, ...], int]) -> None:
    wanted = {tuple(row[column] for column in KEY): row for row in rows}
    for key in dict.fromkeys([*wanted, *counts]):
        row, count = wanted.get(key), counts.get(key, 0)
        name = "/".join(map(str, key))
        if row is None:
            raise ArchiveError(path, f"{count} samples of {name}, but {MEASUREMENTS} has no such row")
        said = 0 if np.isnan(row["samples"]) else int(row["samples"])
        if count != said or (count > 0) != (row["status"] == "ok"):
            wrong = f"{count} samples of {name}, but {MEASUREMENTS} says {said} and {row['status']}"
            raise ArchiveError(path, wrong)


def _times(
    rows: list[dict[str, Any]], points: Mapping[tuple[Any, ...], Point], path: Path, samples: Samples
) -> Iterator[str]:
    """Say which times, or ends of their intervals, are not those of the samples; series of one length at once."""
    times, numbers, starts, counts = samples.by_series()
    expected = np.arange(len(times)) - np.repeat(starts, counts)
    if (numbers != expected).any():
        position = int((numbers != expected).argmax())
        series = int(np.searchsorted(starts, position, side="right")) - 1
        key = "/".join(map(str, samples.keys[series]))
        raise ArchiveError(path, f"the samples of {key} are not numbered from 0 on, each once")
    at = {key: index for index, key in enumerate(samples.keys)}
    together: dict[tuple[str, int], list[tuple[Row, int]]] = {}
    for row in rows:
        series = at[tuple(row[column] for column in KEY)]
        statistic = statistic_of(row, points[tuple(row[column] for column in POINT_KEY)])
        together.setdefault((statistic, int(counts[series])), []).append((row, series))
    for (statistic, count), members in together.items():
        taken = times[starts[[series for _, series in members]][:, None] + np.arange(count)]
        value, (low, high) = values(taken, statistic), intervals(taken, statistic)
        for column, follows in (("time_ms", value), ("time_ms_low", low), ("time_ms_high", high)):
            recorded = np.array([row[column] for row, _ in members], dtype=float)
            for index in np.flatnonzero(~(abs(recorded - follows) <= TOLERANCE * value)):
                what = statistic if column == "time_ms" else f"{column.rpartition('_')[2]} end of the {statistic}"
                yield (
                    f"{name_of(members[index][0])}: {column} is {_said(recorded[index])}, but the {what} of its "
                    f"{count} samples in {SAMPLES} is {float(follows[index])!r}"
                )


def _sizes(path: Path, rows: list[dict[str, Any]], points: Mapping[tuple[Any, ...], Point]) -> Iterator[str]:
    """Say which TFLOPS or tensor bytes do not follow from the sizes."""
    for row in rows:
        size = sizes_of(points[tuple(row[column] for column in POINT_KEY)])
        if size is None:
            if row["status"] == "ok":
                raise ArchiveError(path, f"{name_of(row)}: its configuration has not the sizes of its layer")
            continue
        if row["status"] == "ok":
            follows = flops(size) * row["batch"] / (row["time_ms"] * 1e9)
            if not abs(row["tflops"] - follows) <= TOLERANCE * follows:
                said = f"{name_of(row)}: tflops is {_said(row['tflops'])}, but its FLOPs over time_ms are {follows!r}"
                yield said
        held = tensor_bytes(size, row["batch"])
        if row["tensor_bytes"] != held and (row["status"] == "ok" or row["tensor_bytes"] == row["tensor_bytes"]):
            said = _said(row["tensor_bytes"])
            yield f"{name_of(row)}: tensor_bytes is {said}, but its sizes in {PROVENANCE} give {held}"


def _said(number: float) -> str:
    return "empty" if np.isnan(number) else repr(float(number)) if number % 1 else f"{number:.0f}"

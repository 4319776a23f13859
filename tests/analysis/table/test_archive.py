"""Reading and writing the results table: what goes in comes out, and every kind of damage is named."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.table import archive as table
from analysis.table.archive import ArchiveError, read
from analysis.table.samples import read_samples

Rows = list[dict[str, Any]]


def edit(path: Path, old: str, new: str) -> None:
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))


def test_round_trip(build: Callable[..., Path], make_rows: Callable[..., Rows]) -> None:
    rows = make_rows()
    archive = read(build(rows))
    assert list(archive.measurements.columns) == list(table.COLUMNS)
    assert len(archive.measurements) == len(rows)
    assert (archive.device_name, archive.device_kind) == ("Test GPU 9000", "cuda")
    found = archive.measurements.set_index(["layer", "algorithm"])
    for row in rows:
        same = found.loc[(row["layer"], row["algorithm"])]
        assert same["status"] == row["status"]
        if row["status"] == "ok":
            assert same["time_ms"] == row["time_ms"]
            assert same["process_peak_bytes"] == row["process_peak_bytes"]
        else:
            assert pd.isna(same["time_ms"])
            assert pd.isna(same["tflops"])
    assert len(archive.samples()) == 3 * (archive.measurements["status"] == "ok").sum()
    assert archive.points()["paper", "paper_table", "strict_fp32", 64, "conv3", "direct"]["run"]["seed"] == 1


def test_times_come_back_to_the_bit(make_rows: Callable[..., Rows], tmp_path: Path) -> None:
    """These are times of an H200 that pandas reads as their neighbours."""
    times = [6.9311039999888635, 6.9225719999792545, 6.9434230000240404]
    (row,) = make_rows(["direct"])[:1]
    key = {column: row[column] for column in table.KEY}
    rows = [key | {"sample": index, "time_ms": time} for index, time in enumerate(times)]
    table.write_samples(rows, tmp_path / table.SAMPLES)
    assert read_samples(tmp_path / table.SAMPLES).frame()["time_ms"].tolist() == times


def test_the_same_rows_in_any_order_give_the_same_bytes(
    build: Callable[..., Path], make_rows: Callable[..., Rows]
) -> None:
    first, second = build(make_rows(), name="a"), build(make_rows()[::-1], name="b")
    for name in (table.MEASUREMENTS, table.SAMPLES):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert sorted(path.name for path in first.iterdir()) == sorted(
        [table.MEASUREMENTS, table.SAMPLES, table.PROVENANCE]
    )


def test_a_missing_folder_lists_its_neighbours(build: Callable[..., Path], make_rows: Callable[..., Rows]) -> None:
    folder = build(make_rows(["direct"]), name="nvidia-h100")
    with pytest.raises(ArchiveError, match=r"nvidia-h200: there is no such folder.*are: nvidia-h100"):
        read(folder.parent / "nvidia-h200")


@pytest.mark.parametrize("name", [table.MEASUREMENTS, table.SAMPLES, table.PROVENANCE])
def test_a_missing_file_is_named(build: Callable[..., Path], make_rows: Callable[..., Rows], name: str) -> None:
    folder = build(make_rows(["direct"]))
    (folder / name).unlink()
    with pytest.raises(ArchiveError, match=f"{name}: the file is missing; restore it"):
        read(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("time_ms,time_ms_low", "time,time_ms_low", r"missing columns: time_ms; unknown columns: time"),
        ("experiment,suite", "suite,experiment", r"columns in the wrong order"),
        (",ok,", ",okay,", r"line 2, column status: 'okay' is not one of ok, unsupported"),
        (",269.862912,", ",fast,", r"line 2, column time_ms: 'fast' is not a number"),
        (",269.862912,", ",,", r"line 2, column time_ms: empty in a row with status ok"),
        (",269.862912,", ",nan,", r"line 2, column time_ms: nan is not finite"),
        (",269.862912,", ",inf,", r"line 2, column time_ms: inf is not finite"),
        (",269.862912,", ",-20.0,", r"line 2, column time_ms: -20.0 is not positive"),
        (",269.862912,", ",0,", r"line 2, column time_ms: 0.0 is not positive"),
        (",0.05,", ",,", r"line 2, column tflops: empty"),
        (",ok,", ",failed,", r"line 2, column time_ms: 269.862912 in a row with status failed"),
        (",1e-07,", ",nan,", r"line 2, column error_fro: nan is not finite"),
        (",64,", ",64.5,", r"line 2, column batch: '64.5' is not a whole number"),
        (",conv1,", ",,", r"line 2, column layer: empty"),
        (",conv2,", ",conv1,", r"line 3: the same point as line 2, paper/paper_table/.*conv1/direct"),
        (",hash-direct\n", "\n", r"line 2: 22 cells instead of 23"),
    ],
)
def test_a_damaged_row_is_named(
    build: Callable[..., Path], make_rows: Callable[..., Rows], old: str, new: str, message: str
) -> None:
    folder = build(make_rows(["direct"]))
    edit(folder / table.MEASUREMENTS, old, new)
    with pytest.raises(ArchiveError, match=f"{table.MEASUREMENTS}: {message}"):
        read(folder)


def test_a_table_that_was_cut_short(build: Callable[..., Path], make_rows: Callable[..., Rows]) -> None:
    path = build(make_rows(["direct"])) / table.MEASUREMENTS
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ArchiveError, match="cut short"):
        read(path.parent)
    path.write_text(",".join(table.COLUMNS) + "\n")
    with pytest.raises(ArchiveError, match="no rows"):
        read(path.parent)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ArchiveError, match="not UTF-8"):
        read(path.parent)


def test_damaged_samples(build: Callable[..., Path], make_rows: Callable[..., Rows]) -> None:
    path = build(make_rows(["direct"])) / table.SAMPLES
    whole = path.read_bytes()
    text = gzip.decompress(whole).decode()
    damages = [
        (whole[:-20], "cut short or not gzip"),
        (b"plain", "cut short or not gzip"),
        (gzip.compress(text.replace("time_ms", "ms", 1).encode()), "missing columns: time_ms; unknown columns: ms"),
        (gzip.compress(text.replace(",0,269.862912", ",0,slow", 1).encode()), "line 2, column time_ms: 'slow'"),
        (gzip.compress(text.replace(",0,269.862912", ",0,nan", 1).encode()), "line 2, column time_ms: 'nan'"),
        (gzip.compress("".join(text.splitlines(True)[:-1]).encode()), "2 samples of .*conv12/direct, but .* says 3"),
    ]
    for content, message in damages:
        path.write_bytes(content)
        with pytest.raises(ArchiveError, match=message):
            read(path.parent)


def test_damaged_provenance(build: Callable[..., Path], make_rows: Callable[..., Rows]) -> None:
    path = build(make_rows(["direct"])) / table.PROVENANCE
    whole = json.loads(path.read_text())
    damages = [
        (path.read_text()[:-40], "cut short or not JSON"),
        ("[]", "not a JSON object"),
        (json.dumps(whole | {"device": {"name": "x"}}), "device: must hold name, slug and kind"),
        (
            json.dumps(whole | {"device": {"name": "x", "slug": "x", "kind": "tpu"}}),
            "device.kind: 'tpu' is not one of cuda, cpu",
        ),
        (json.dumps(whole | {"environments": []}), r"points\[0\].environment: 0 is not the index"),
        (json.dumps(whole | {"points": [{"layer": "conv1"}]}), r"points\[0\]: missing experiment"),
    ]
    for content, message in damages:
        path.write_text(content)
        with pytest.raises(ArchiveError, match=f"{table.PROVENANCE}: {message}"):
            read(path.parent)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time_ms": None}, "column time_ms: empty"),
        ({"time_ms": float("nan")}, "nan is not finite"),
        ({"time_ms": "3"}, "'3' is not a number"),
        ({"samples": 2.5}, "2.5 is not a whole number"),
        ({"status": "fine"}, "'fine' is not one of"),
        ({"speed": 1}, "unknown columns: speed"),
    ],
)
def test_a_wrong_row_is_not_written(
    tmp_path: Path, make_row: Callable[..., dict[str, Any]], changes: dict[str, Any], message: str
) -> None:
    row = make_row("direct", "conv1") | changes
    with pytest.raises(ArchiveError, match=message):
        table.write_measurements([row], tmp_path / table.MEASUREMENTS)
    assert not list(tmp_path.iterdir())


def test_an_incorrect_row_may_have_a_nan_error(tmp_path: Path, make_row: Callable[..., dict[str, Any]]) -> None:
    row = make_row("direct", "conv1", status="incorrect", reason="NaN in\nthe output, badly", error_fro=float("nan"))
    table.write_measurements([row], tmp_path / table.MEASUREMENTS)
    lines = (tmp_path / table.MEASUREMENTS).read_text().splitlines()
    assert len(lines) == 2
    assert '"NaN in the output, badly"' in lines[1]

"""Whole networks: their figure, their table, their sentences, and that all of it is absent where none was timed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis import figures, readme
from analysis.charts.networks import models as draw
from analysis.frames import models
from analysis.numbers.models import CALLS_COUNT, in_order, speedups
from analysis.numbers.models import models as rows_of
from analysis.numbers.staleness import compare, stale_models
from analysis.prose import method
from analysis.prose import models as prose
from analysis.prose.summary import describe
from analysis.report import compose
from analysis.table import archive as table
from analysis.table.archive import Archive, ArchiveError, read
from analysis.verify import verify
from tests.analysis.conftest import make_provenance, model_row, model_rows, write_models
from workflow.networks.calls import COUNT


@pytest.fixture
def timed(archive: Archive) -> Archive:
    """The whole made-up table, and two whole networks."""
    write_models(archive.folder, model_rows())
    return archive


def test_sides_are_compared_with_pytorch_as_it_comes(timed: Archive) -> None:
    found = {(one.model, one.side): one for one in speedups(rows_of(timed), "eager", largest=True)}
    assert {key: round(one.value, 3) for key, one in found.items()} == {
        ("deep", "ours"): 2.0,
        ("deep", "fp32"): 1.0,
        ("deep", "tf32"): 2.5,
        ("wide", "ours"): 1.6,
        ("wide", "fp32"): 2.0,
        ("wide", "tf32"): 4.0,
    }
    assert {one.batch for one in found.values()} == {64}
    ours = found["deep", "ours"]
    assert [ours.low, ours.high] == pytest.approx([2 * 0.98 / 1.02, 2 * 1.02 / 0.98])
    # PyTorch as it comes against itself has no interval; against its older interface it has.
    assert (found["deep", "fp32"].low, found["deep", "fp32"].high) == (1.0, 1.0)
    assert found["wide", "fp32"].backend == "pytorch_legacy"
    assert {one.batch for one in speedups(rows_of(timed), "graph", largest=False)} == {1}


def test_the_fastest_of_ours_stands_for_them(timed: Archive) -> None:
    """Also one that is not known here; strict FP32 is no part of it."""
    rows = [*model_rows(), model_row("deep", "im2win_fused_epilogue", 5.0), model_row("deep", "im2win_strict", 1.0)]
    write_models(timed.folder, rows)
    ours = next(one for one in speedups(rows_of(timed), "eager", largest=True) if one.side == "ours")
    assert ours.backend == "im2win_fused_epilogue"
    assert ours.value == pytest.approx(4.0)
    assert in_order(["im2win_fused_epilogue", "im2win", "pytorch_tf32", "pytorch"]) == [
        *("pytorch", "pytorch_tf32", "im2win", "im2win_fused_epilogue")
    ]


def test_the_figure(timed: Archive) -> None:
    picture = models.overview(timed)
    assert [panel.title for panel in picture.panels] == ["largest batch, eager", "smallest batch, CUDA graph"]
    left, right = draw(picture).axes
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["deep, 64", "wide, 64"]
    assert [tick.get_text() for tick in right.get_yticklabels()] == ["deep, 1", "wide, 1"]
    assert [bars[0].get_xdata().tolist() for bars in left.containers] == [
        pytest.approx([2.0, 1.6]),
        pytest.approx([1.0, 2.0]),
        pytest.approx([2.5, 4.0]),
    ]
    markers = [bars[0].get_marker() for bars in left.containers]
    assert len(set(markers)) == 3  # told apart in grey
    assert "1.79x ours, FP32-accurate (2 networks)" in picture.caption
    assert figures.prepare(timed, ["models"])["models"].caption == picture.caption


def test_the_table(timed: Archive) -> None:
    text = models.build(timed).markdown
    deep = next(line for line in text.splitlines() if line.startswith("| deep | 64 | eager"))
    assert [cell.strip() for cell in deep.split("|")[4:-1]] == [
        *("20.0", "25.0 (0.800x)", "8.00 (2.50x)", "-", "10.0 (2.00x)", "1.0e-06", "1.0e-06", "3072 / 3072")
    ]
    assert "| wide | 64 | compile | - | - | - | - | failed |" in text
    assert "1 of 25 rows are not ok: it crashed, here." in text
    assert len(models.build(timed).csv().splitlines()) == 26


def test_three_sentences_that_say_where_others_win(timed: Archive) -> None:
    eager, graph, errors = prose.findings(timed)
    assert eager.startswith("Whole networks at their largest batch, eagerly: ours is faster than PyTorch in FP32")
    assert "on 2 of 2 networks, 1.79x in the geometric mean, 1.60x (wide) to 2.00x (deep)" in eager
    assert "than its fastest way in FP32 on 1 of 2 networks (deep), 1.26x" in eager
    assert "than its fastest in TF32 on 0 of 2 networks, 0.566x in the geometric mean" in eager
    assert "in a CUDA graph" in graph
    assert "3.0e-06 by ours (wide)" in errors
    assert errors.endswith("1 of 25 rows are not ok.")


def test_older_rows_are_marked(timed: Archive) -> None:
    today = {"algorithms": {}, "harness": "harness", "backends": {"im2win": "another", "pytorch": "hash-pytorch"}}
    older = stale_models(timed, today)
    assert {key[2] for key in older} == {"im2win", "pytorch_legacy", "pytorch_tf32", "pytorch_tf32_channels_last"}
    text = models.build(timed, older).markdown
    assert "| 10.0 (2.00x)† |" in text
    assert "†: the sources have changed since" in text
    assert "†" not in models.build(timed).markdown


def test_without_whole_networks_nothing_is_said(archive: Archive, tmp_path: Path) -> None:
    assert prose.findings(archive) == []
    assert models.overview(archive).note == models.NONE
    assert models.build(archive).blocks == ()
    assert "models" not in readme.drawn(archive)
    assert "whole network" not in readme.front(archive)
    assert readme.in_a_model(archive) == "No whole network was timed on Test GPU 9000 so far.\n"


def test_the_page_and_the_report_have_them(timed: Archive, judge: Callable[[Archive], Any], tmp_path: Path) -> None:
    assert "models" in readme.drawn(timed)
    page = readme.in_a_model(timed)
    assert "](figures/test-gpu/models.svg)" in page
    assert "* Whole networks at their largest batch" in page and "| deep | 64 | eager |" in page
    front = readme.front(timed)
    answer = "on 1 of 2 networks; than its fastest in TF32 on 0 | 1.26x |"
    assert f"| Is a whole network with them faster than PyTorch in FP32? | {answer}" in front
    assert "of whole networks, eagerly at their largest batch, to the fastest way" in front
    staleness = compare(timed, {"algorithms": {}, "harness": "harness"})
    sections = compose(timed, staleness, judge(timed), tmp_path, tmp_path, tmp_path / "report.md")
    assert [one.title for one in sections if one.name == "models"] == ["Whole networks"]
    assert any(
        "wide with im2win (batch 64 compile): it crashed" in line for line in describe(timed, judge(timed), tmp_path)
    )


@pytest.fixture
def judge() -> Callable[[Archive], Any]:
    from analysis.prose import claims

    return claims.explained


def test_a_table_of_whole_networks_alone(tmp_path: Path) -> None:
    """Has no points and no rows; without models.csv that is no table."""
    write_models(tmp_path, model_rows())
    table.write(tmp_path, [], [], make_provenance([]))
    alone = read(tmp_path)
    assert alone.measurements.empty
    assert len(prose.findings(alone)) == 3
    assert verify(tmp_path, tmp_path).startswith("0 points, 0 rows")
    (tmp_path / "models.csv").unlink()
    with pytest.raises(ArchiveError, match="there are no rows in it"):
        read(tmp_path)
    with pytest.raises(ArchiveError, match="there are no rows in it"):
        table.write(tmp_path, [], [], make_provenance([]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "fine"}, "deep/64/im2win/eager: its status is unknown"),
        ({"batch": 1.5}, "its batch is no whole number above 0"),
        ({"time_ms": 11.0}, "its time is not within its interval"),
        ({"error_fro": ""}, "or it has no error"),
        ({"status": "failed"}, "it is not ok, but has a time"),
        ({"time_ms": "fast"}, "time_ms is fast, which is no number"),
        ({"backend": "pytorch"}, "there twice"),
    ],
)
def test_a_damaged_table_is_refused(archive: Archive, changes: dict[str, Any], said: str) -> None:
    write_models(archive.folder, [model_row("deep", "pytorch", 20.0), model_row("deep", "im2win", 10.0) | changes])
    with pytest.raises(ArchiveError) as caught:
        rows_of(archive)
    assert said in str(caught.value)
    with pytest.raises(ArchiveError):
        verify(archive.folder, archive.folder)


def test_provenance_goes_along(timed: Archive, tmp_path: Path) -> None:
    """What is kept of an older archive names its own environment."""
    from analysis.table.merge import merge, merge_companion

    key = {"model": "deep", "batch": 64, "backend": "im2win", "mode": "eager"}
    old = Archive(
        timed.folder, timed.measurements, timed.provenance | {"models": [key | {"environment": 0}]}, timed.taken
    )
    write_models(tmp_path, [model_row("deep", "pytorch", 7.0)])
    provenance = make_provenance([])
    provenance["environments"][0]["git"] = {"dirty": True}
    provenance["models"] = [key | {"backend": "pytorch", "environment": 0}]
    table.write(tmp_path, [], [], provenance)
    new = read(tmp_path)
    rows, _, merged = merge(new, old)
    assert len(rows) == len(timed.measurements)
    assert [(one["backend"], one["environment"]) for one in merged["models"]] == [("pytorch", 0), ("im2win", 1)]
    said = method.machine(old)
    assert said.startswith("Environment 1, 192 points and 1 row of whole networks:")
    assert json.dumps(merged["environments"][1]) == json.dumps(timed.provenance["environments"][0])
    lines = merge_companion("models.csv", list(model_row("", "", None)), tmp_path, timed.folder, suites=[]).splitlines()
    assert len(lines) == 26
    assert lines[1].startswith("deep,64,pytorch,eager,ok,,7.0,")
    assert not any(line.startswith("deep,64,pytorch,eager,ok,,20.0,") for line in lines)


def test_what_a_call_costs_is_no_networks_speed(timed: Archive) -> None:
    before = speedups(rows_of(timed), "eager", largest=True)
    calls = [model_row("calls", "pytorch", 5.0, batch=1), model_row("calls", "im2win", 2.0, batch=1)]
    write_models(timed.folder, [*model_rows(), *calls])
    assert speedups(rows_of(timed), "eager", largest=True) == before
    said = "A call of a convolution costs the host 50.0 us by PyTorch FP32 and 20.0 us by im2win"
    assert prose.findings(timed)[-1].startswith(said)
    assert "calls" not in prose.findings(timed)[2]
    assert CALLS_COUNT == COUNT

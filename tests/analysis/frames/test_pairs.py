"""Two tables point by point: verdicts with known answers, and what is said of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.frames import pairs
from analysis.table import archive as table
from analysis.table.archive import Archive
from tests.analysis.conftest import sampled

Row = dict[str, Any]


@pytest.fixture
def write(tmp_path: Path, make_row: Callable[..., Row], make_provenance: Callable[..., Any]) -> Callable[..., Archive]:
    """A table of im2win with these raw samples by layer; a status in place of samples."""

    def archive(name: str, samples: dict[str, list[float] | str], **changes: Any) -> Archive:
        rows, raw = [], []
        for layer, times in samples.items():
            if isinstance(times, str):
                rows.append(make_row("im2win", layer, status=times, reason="why", **changes))
                continue
            rows.append(make_row("im2win", layer, 1.0, **changes))
            raw += sampled(rows[-1], times)
        table.write(tmp_path / name, rows, raw, make_provenance(rows))
        return table.read(tmp_path / name)

    return archive


def around(middle: float, spread: float = 0.001) -> list[float]:
    return [middle * (1 + spread * (index % 11 - 5)) for index in range(33)]


@pytest.fixture
def points(write: Callable[..., Archive]) -> pd.DataFrame:
    first = {"conv1": around(1.0), "conv2": around(1.0), "conv3": around(1.0), "conv4": around(1.0), "conv5": "failed"}
    second = {"conv1": around(1.0), "conv2": around(0.8), "conv3": around(1.01), "conv4": "failed", "conv5": "failed"}
    compared = pairs.compare_points(write("a", first), write("b", second, experiment="later", source_hash="other"))
    return compared.set_index("layer")


def test_verdicts(points: pd.DataFrame) -> None:
    assert points["verdict"].to_dict() == {
        "conv1": "ambiguous",
        "conv2": "faster",
        "conv3": "slower",
        "conv4": "other outcome",
        "conv5": "same outcome",
    }
    assert points["agrees"].to_dict() == {"conv1": True, "conv2": False, "conv3": True, "conv4": "", "conv5": ""}
    assert points.at["conv2", "ratio"] == pytest.approx(0.8)
    for layer, ratio in (("conv1", 1.0), ("conv2", 0.8), ("conv3", 1.01)):
        assert points.at[layer, "ratio_low"] <= ratio <= points.at[layer, "ratio_high"]
        assert points.at[layer, "ratio_high"] - points.at[layer, "ratio_low"] < 0.01
    assert points["ratio"].isna().to_dict() == dict.fromkeys(points.index, False) | {"conv4": True, "conv5": True}
    assert not points["same_sources"].any()


def test_noise_is_ambiguous(write: Callable[..., Archive]) -> None:
    one, two = write("a", {"conv1": around(1.0, 0.1)}), write("b", {"conv1": around(1.05, 0.1)})
    (row,) = pairs.compare_points(one, two).to_dict("records")
    assert row["verdict"] == "ambiguous"
    assert not row["agrees"]


def test_the_same_every_time_and_whatever_else_is_there(write: Callable[..., Archive]) -> None:
    one, two = write("a", {"conv1": around(1.0, 0.1)}), write("b", {"conv1": around(1.1, 0.1)})
    more = write("c", {"conv1": around(1.1, 0.1), "conv2": around(3.0)})
    first = pairs.compare_points(one, two)
    pd.testing.assert_frame_equal(first, pairs.compare_points(one, two))
    pd.testing.assert_frame_equal(first, pairs.compare_points(one, more))


def test_what_is_said(write: Callable[..., Archive]) -> None:
    one = write("a", {f"conv{n}": around(1.0) for n in range(1, 11)})
    two = write("b", {f"conv{n}": around(1.0 if n > 1 else 1.5) for n in range(1, 11)})
    compared = pairs.compare_points(one, two)
    assert pairs.agreement(compared) == (9, 10)
    assert not pairs.is_repeated(compared)
    said = " ".join(pairs.findings(compared, (one, two), "A", "B"))
    for text in (
        "9 of 10 medians agree within 2 % (90.0 %): by the rule of 95 % the two runs **do not** repeat each other.",
        "end_to_end: of 10 points that are ok in both, B is faster on 0, slower on 1 and ambiguous on 9 against A",
        "the furthest from 1 is im2win on conv1, 1.500",
    ):
        assert text in said
    laid_out = pairs.table((one, two), [pairs.compare_points(one, two)])
    assert len(laid_out.frame) == 10
    assert [row[0] for row in laid_out.blocks[0].rows] == ["conv1"]


def test_only_medians_decide(write: Callable[..., Archive]) -> None:
    compared = pairs.compare_points(
        write("a", {"conv1": around(1.0)}, protocol="authors"), write("b", {"conv1": around(1.0)}, protocol="authors")
    )
    assert pairs.agreement(compared) == (0, 0)
    assert not pairs.is_repeated(compared)


def test_nothing_in_common(write: Callable[..., Archive]) -> None:
    one, two = write("a", {"conv1": around(1.0)}), write("b", {"conv2": around(1.0)})
    compared = pairs.compare_points(one, two)
    assert compared.empty
    assert pairs.findings(compared, (one, two), "A", "B") == ["A and B have no point in common."]
    assert "no point in common" in pairs.table((one, two), [pairs.compare_points(one, two)]).markdown

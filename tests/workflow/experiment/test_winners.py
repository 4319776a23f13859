"""Stored winners: found by a problem's sizes alone, part of the point, and wrong files are errors."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from kernels.problem import ConvProblem
from kernels.tiles.tiled import TILES, Schedule
from workflow.experiment import winners
from workflow.experiment.catalog import Catalog
from workflow.experiment.errors import BadValueError
from workflow.experiment.request import resolve
from workflow.experiment.sweep import Selection, Sweep
from workflow.machine.devices import Gpu

GPU = Gpu(0, "GPU-0", "Imaginary GPU", "sm_90a")
CONV4 = ConvProblem(64, 64, 224, 224, 64, 7, 7, 2)
WINNER = Schedule(TILES[-1], 0.5).to_parameters()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A conf/tuning with a winner of im2win on conv4 for GPU."""
    document = {"gpu": GPU.name, "winners": {"im2win": {winners.key(CONV4): WINNER | {"time_ms": 1.0}}}}
    (tmp_path / f"{GPU.slug}.yaml").write_text(yaml.safe_dump(document))
    read = winners.read.__wrapped__
    monkeypatch.setattr(winners, "read", lambda device: read(device, tmp_path))
    return tmp_path


def test_a_problem_is_named_by_all_its_sizes() -> None:
    assert winners.key(CONV4) == "64x64x224x224 * 64x7x7 / 2"
    assert winners.key(ConvProblem(1, 2, 8, 9, 3, 4, 5, 2)) == "1x2x8x9 * 3x4x5 / 2"


def test_a_field_with_a_default_names_a_problem_only_by_another_value() -> None:
    @dataclass(frozen=True)
    class Flipped(ConvProblem):
        flip: int = 1

    sizes = dataclasses.asdict(CONV4)
    assert winners.key(Flipped(**sizes)) == winners.key(CONV4)
    assert winners.key(Flipped(**sizes, flip=3)) == f"{winners.key(CONV4)}, flip 3"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "1"),
        ({"padding": 0, "dilation": 1, "groups": 1}, "1"),
        ({"stride": (2, 2)}, "2"),
        ({"stride": (2, 1)}, "(2, 1)"),
        ({"padding": 3}, "1, padding 3"),
        ({"padding": (1, 2)}, "1, padding (1, 2)"),
        ({"padding": ((0, 1), (0, 1))}, "1, padding ((0, 1), (0, 1))"),
        ({"padding": ((0, 0), (0, 1))}, "1, padding (0, (0, 1))"),
        ({"padding": 1, "dilation": (2, 3), "groups": 4}, "1, padding 1, dilation (2, 3), groups 4"),
    ],
)
def test_what_is_no_default_is_named(fields: dict[str, Any], named: str) -> None:
    assert winners.key(ConvProblem(1, 8, 9, 9, 4, 3, 3, **fields)) == f"1x8x9x9 * 4x3x3 / {named}"


def test_no_two_problems_have_one_name() -> None:
    paddings = [((a, b), (c, d)) for a, b, c, d in itertools.product(range(3), repeat=4)]
    steps = [(1, 1), (1, 2), (2, 1), (2, 2)]
    problems = [
        ConvProblem(1, 8, 9, 9, 4, 3, 3, stride, padding, dilation, groups)
        for stride, padding, dilation, groups in itertools.product(steps, paddings, steps, (1, 2))
    ]
    assert len({winners.key(problem) for problem in problems}) == len(problems)


def test_the_winner_is_a_parameter_of_the_point(folder: Path, conf: Catalog) -> None:
    algorithms = ["im2win", "im2win_without_prefetch", "im2win_fused", "im2win_base"]
    sweep = Sweep(conf, Selection("paper", {"layer": ["conv4", "conv5"], "algorithm": algorithms}), GPU.slug)
    resolved = {
        (point.layer, point.algorithm): sweep.resolve(point)["algorithm"]["parameters"]
        for point in sweep.points.values()
        if point.batch == 64
    }
    tuned = {"schedule": WINNER}
    assert resolved["conv4", "im2win"] == resolved["conv4", "im2win_without_prefetch"] == tuned
    assert [key for key, parameters in resolved.items() if parameters] == [
        ("conv4", "im2win"),
        ("conv4", "im2win_without_prefetch"),
    ]
    assert sweep.untuned() == ["im2win", "im2win_fused"]
    elsewhere = Sweep(conf, sweep.selection, "another-gpu")
    assert not any(elsewhere.resolve(point)["algorithm"]["parameters"] for point in elsewhere.points.values())


def test_what_a_rule_chooses_is_said(folder: Path, conf: Catalog) -> None:
    config = {"experiment": "paper", "layer": "conv4", "batch": "64", "algorithm": "im2win,im2win_fused"}
    note = resolve(config, lambda: [GPU], known=conf).note
    assert "im2win_fused: not every problem has been tuned on imaginary-gpu; a rule chooses tiles" in note
    assert "make tune" in note
    assert "tuned" not in resolve(config | {"algorithm": "im2win"}, lambda: [GPU], known=conf).note


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("winners: [", "expected"),
        ("gpu: X", "winners"),
        (
            yaml.safe_dump({"winners": {"im2win": {"1x1": WINNER | {"tile": [1, 2, 3, 4, 5, 6]}}}}),
            "no kernel is compiled",
        ),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "some-gpu.yaml").write_text(text)
    with pytest.raises(BadValueError, match="conf/tuning/some-gpu.yaml") as caught:
        winners.read("some-gpu", tmp_path)
    assert said in str(caught.value)
    assert "make tune" in str(caught.value)

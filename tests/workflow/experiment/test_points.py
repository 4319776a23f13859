"""Expanding a selection into points, and what cannot be expanded."""

from __future__ import annotations

import copy
import json
import time

import pytest

from workflow.experiment.catalog import Catalog
from workflow.experiment.errors import (
    BackendError,
    BadProblemError,
    BadValueError,
    NoPointError,
    RequestError,
    UnknownNameError,
)
from workflow.experiment.points import AXES, Point
from workflow.experiment.sweep import Selection, Sweep


def sweep(conf: Catalog, /, experiment: str = "paper", **axes: list[str]) -> Sweep:
    return Sweep(conf, Selection(experiment, axes))


def test_axes_replace_those_of_the_experiment(conf: Catalog) -> None:
    points = sweep(conf, layer=["conv2", "conv1"], algorithm=["im2win"], batch=["1", "64"]).points
    assert list(points) == [
        f"paper_table/strict_fp32/batch{batch}/{layer}/im2win" for layer in ("conv1", "conv2") for batch in (1, 64)
    ]


def test_resolved_point(conf: Catalog) -> None:
    one = sweep(conf, suite=["authors_log"], protocol=["kernel_only"])
    point = Point("authors_log", "strict_fp32", 64, "conv4", "im2win")
    assert one.points[point.path] == point
    resolved = one.resolve(point)
    assert resolved["layer"]["in_channels"] == 32
    assert resolved["algorithm"]["programs"] == ["im2win_transform", "im2win"]
    assert [protocol["name"] for protocol in resolved["protocols"]] == ["kernel_only"]
    assert resolved["device"]["kind"] == "cuda"
    assert json.loads(json.dumps(resolved)) == resolved


def test_sampling_of_the_experiment(conf: Catalog) -> None:
    one = sweep(conf, "tiny")
    assert all(protocol["max_samples"] == 5 for protocol in one.protocols.values())
    assert all(protocol["target_half_width"] == 0.005 for protocol in one.protocols.values())


def test_numeric_classes_that_an_algorithm_lacks_are_dropped(conf: Catalog) -> None:
    changed = Catalog(copy.deepcopy(conf.groups))
    changed.groups["algorithm"]["im2win"]["numerics"] = ["strict_fp32", "tf32"]
    numerics = ["strict_fp32", "tf32"]
    points = sweep(changed, layer=["conv1"], algorithm=["im2win", "direct"], numerics=numerics).points.values()
    found = [(point.numerics, point.algorithm) for point in points]
    assert sorted(found) == [("strict_fp32", "direct"), ("strict_fp32", "im2win"), ("tf32", "im2win")]


def test_classes_that_no_chosen_algorithm_offers_are_an_error(conf: Catalog) -> None:
    with pytest.raises(NoPointError) as caught:
        sweep(conf, algorithm=["im2win", "direct"], numerics=["tf32"])
    assert all(name in str(caught.value) for name in ("tf32", "strict_fp32"))


def test_many_points_expand_in_seconds(conf: Catalog) -> None:
    started = time.perf_counter()
    points = sweep(conf, batch=[str(batch) for batch in range(1, 522)]).points
    assert len(points) > 100_000
    assert time.perf_counter() - started < 5


def test_selection_survives_json() -> None:
    selection = Selection("paper", {"layer": ["conv1"], "batch": ["1"]})
    assert Selection.from_json(selection.to_json()) == selection


@pytest.mark.parametrize(
    ("axis", "value", "error", "named"),
    [
        ("layer", "conv1x", UnknownNameError, ["layer 'conv1x'", "did you mean conv1?", "conv12", "paper_table"]),
        ("layer", "odd_window", UnknownNameError, ["layer 'odd_window'", "paper_table", "conv12"]),
        ("algorithm", "im2wim", UnknownNameError, ["algorithm 'im2wim'", "did you mean im2win?", "cudnn_fft"]),
        ("suite", "papertable", UnknownNameError, ["suite 'papertable'", "did you mean paper_table?", "authors_log"]),
        ("protocol", "author", UnknownNameError, ["protocol 'author'", "did you mean authors?", "end_to_end"]),
        ("numerics", "fp16", UnknownNameError, ["numeric class 'fp16'", "strict_fp32"]),
        ("batch", "0", BadValueError, ["batch is 0", "positive whole number"]),
        ("batch", "-1", BadValueError, ["batch is -1"]),
        ("batch", "1.5", BadValueError, ["batch is 1.5"]),
        ("batch", "many", BadValueError, ["batch is many"]),
        ("algorithm", "cpu_fft", BackendError, ["algorithm 'cpu_fft' runs on cpu", "im2col_cublas", "paper_cpu"]),
    ],
)
def test_bad_axis(conf: Catalog, axis: str, value: str, error: type[RequestError], named: list[str]) -> None:
    assert axis in AXES
    with pytest.raises(error) as caught:
        Sweep(conf, Selection("paper", {axis: [value]}))
    for text in named:
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        ({"stride": 0}, ["stride is 0", "positive"]),
        ({"in_channels": -3}, ["in_channels is -3"]),
        ({"kernel_h": 300}, ["kernel_h is 300", "height is only 227"]),
        ({"stride": 500}, ["stride is 500"]),
    ],
)
def test_bad_layer(conf: Catalog, sizes: dict[str, int], named: list[str]) -> None:
    changed = Catalog(copy.deepcopy(conf.groups))
    changed.groups["layer"]["conv1"] |= sizes
    with pytest.raises(BadProblemError) as caught:
        sweep(changed)
    for text in ["layer conv1 of suite paper_table at batch 64", "conf/layer/conv1.yaml", *named]:
        assert text in str(caught.value)


def test_a_stored_protocol_is_kept_while_it_is_current(conf: Catalog) -> None:
    all_three = sweep(conf)
    stored = all_three.resolve(next(iter(all_three.points.values())))
    one = sweep(conf, protocol=["kernel_only"])
    point = next(iter(one.points.values()))
    assert one.resolve(point, stored) == stored
    assert sweep(conf, protocol=["authors", "kernel_only", "end_to_end"]).resolve(point) == stored
    other = stored | {"protocols": [stored["protocols"][0] | {"max_samples": 7}]}
    assert [protocol["name"] for protocol in one.resolve(point, other)["protocols"]] == ["kernel_only"]

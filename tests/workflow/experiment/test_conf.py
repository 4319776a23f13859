"""The files of conf/ agree with the schemas, the paper's data and the registered algorithms; wrong files are errors."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from kernels import algorithm as algorithms
from kernels.build.sources import programs, source_hash
from workflow.experiment import catalog
from workflow.experiment.catalog import CONF, Catalog, resolve_layer
from workflow.experiment.errors import ConfigFileError, RequestError
from workflow.experiment.schema import GROUPS
from workflow.experiment.sweep import Selection, Sweep

ROOT = CONF.parent


def test_layers_are_those_of_the_paper(conf: Catalog) -> None:
    with (ROOT / "analysis/reference/benchmarks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert conf.get("suite", "paper_table")["layers"] == [row["layer"] for row in rows]
    for row in rows:
        layer = conf.get("layer", row.pop("layer"))
        assert {key: str(layer[key]) for key in row} == row
        assert (layer["dilation"], layer["groups"]) == (1, 1)


def test_suites_differ_in_conv4_alone(conf: Catalog) -> None:
    for name in conf.get("suite", "paper_table")["layers"]:
        table, log = (resolve_layer(conf, suite, name) for suite in ("paper_table", "authors_log"))
        assert log == (table | {"in_channels": 32} if name == "conv4" else table)


def test_every_algorithm_is_registered(conf: Catalog) -> None:
    for name, entry in conf.groups["algorithm"].items():
        assert algorithms.load(name, entry["module"], entry["parameters"]).name == name
        assert set(entry["programs"]) <= set(programs())
        assert len(source_hash(entry["module"], entry["programs"])) == 16


def test_paper_measures_every_cuda_algorithm(conf: Catalog) -> None:
    of_cuda = {name for name, entry in conf.groups["algorithm"].items() if entry["backend"] == "cuda"}
    of_cuda -= {"cudnn_autotuned_legacy", "im2win_depthwise", "im2win_grouped"}  # for networks
    assert set(conf.get("experiment", "paper")["algorithm"]) == of_cuda
    points = Sweep(conf, Selection("paper", {})).points.values()
    offers = [numerics for name in of_cuda for numerics in conf.groups["algorithm"][name]["numerics"]]
    assert len([point for point in points if (point.suite, point.batch) == ("paper_table", 64)]) == 12 * len(offers)


def test_paper_measures_other_batches_and_the_authors_log(conf: Catalog) -> None:
    points = Sweep(conf, Selection("paper", {})).points.values()
    layers = conf.get("suite", "paper_table")["layers"]
    for batch in (1, 16, 64, 128):
        for algorithm in ("im2win", "im2win_fused", "cudnn_autotuned", "im2col_cublas"):
            assert {p.layer for p in points if (p.batch, p.algorithm) == (batch, algorithm)} == set(layers)
    assert {point.layer for point in points if point.suite == "authors_log"} == {"conv4"}


def test_a_request_leaves_out_what_it_does_not_ask_for(conf: Catalog) -> None:
    """An extra product of the experiment goes where the request sets an axis of it, and is narrowed by the others."""
    narrow = Sweep(conf, Selection("paper", {"layer": ["conv4"], "algorithm": ["im2win"]}))
    assert list(narrow.points) == ["paper_table/strict_fp32/batch64/conv4/im2win"]
    layer = Sweep(conf, Selection("paper", {"layer": ["conv4"]})).points.values()
    assert {point.batch for point in layer} == {1, 16, 64, 128}
    assert {point.suite for point in layer} == {"paper_table"}


def test_tiny_sizes_are_odd_ones(conf: Catalog) -> None:
    for name in conf.get("suite", "tiny")["layers"]:
        assert any(size % 2 for key, size in conf.get("layer", name).items() if key != "name")


@pytest.fixture
def small_conf(tmp_path: Path) -> Path:
    """One file of each group, so that finding the wrong one is quick."""
    kept = {"suite": "tiny", "layer": "odd_window", "algorithm": "cpu_torch", "protocol": "end_to_end"}
    kept |= {"numerics": "strict_fp32", "device": "cpu", "experiment": "tiny", "cluster": "example"}
    for group, name in kept.items():
        (tmp_path / group).mkdir()
        text = (CONF / group / f"{name}.yaml").read_text()
        text = text.replace(", odd_channels, point_filter", "").replace(", kernel_only", "")
        text = text.replace("cpu_direct, cpu_im2col, cpu_im2win, cpu_fft, ", "")
        (tmp_path / group / f"{name}.yaml").write_text(text)
    return tmp_path


def test_small_conf_is_right(small_conf: Path) -> None:
    found = catalog.read(small_conf)
    assert {group: len(found.names(group)) for group in GROUPS} == dict.fromkeys(GROUPS, 1)


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        (
            "layer/odd_window",
            "stride: 2",
            "stride: 2\nstrid: 3",
            ["unknown key 'strid'", "did you mean stride?", "kernel_h"],
        ),
        ("cluster/example", "partition: gpu", "partitoin: gpu", ["'partitoin'", "did you mean partition?", "account"]),
        ("cluster/example", "a100: {", "a100: {arch: sm_80, ", ["'arch'", "valid choices", "architecture"]),
        ("layer/odd_window", "stride: 2", "stride: two", ["stride", "'two'"]),
        ("layer/odd_window", "stride: 2", "", ["stride", "Missing"]),
        ("layer/odd_window", "stride: 2", "stride: [1, two]", ["stride is [1, 'two']", "[rows, columns]"]),
        ("layer/odd_window", "stride: 2", "stride: 1.5", ["stride is 1.5", "one number or [rows, columns]"]),
        ("layer/odd_window", "stride: 2", "stride: 2\ndilation: true", ["dilation is True"]),
        ("layer/odd_window", "stride: 2", "stride: 2\npadding: same", ["'same'", "[[above, below], [left, right]]"]),
        ("layer/odd_window", "stride: 2", "stride: 2\ngroups: [1, 1]", ["groups"]),
        ("layer/odd_window", "name: odd_window", "name: window", ["its name is 'window'", "'odd_window'"]),
        ("layer/odd_window", "stride: 2", "stride: [", ["not YAML"]),
        ("algorithm/cpu_torch", "backend: cpu", "backend: gpu", ["backend", "'gpu'", "cuda", "cpu"]),
        ("algorithm/cpu_torch", "[strict_fp32]", "[strict]", ["numeric class 'strict'", "strict_fp32"]),
        ("algorithm/cpu_torch", 'color: "8"', "color: grn", ["color is grn", "'#1f77b4'"]),
        ("algorithm/cpu_torch", 'marker: "s"', "marker: oo", ["marker is oo"]),
        ("algorithm/cpu_torch", "arithmetic:", "tuned_as: im2wn\narithmetic:", ["unknown algorithm 'im2wn'"]),
        ("numerics/strict_fp32", "max_error_fro: ", "max_error_fro: -", ["max_error_fro is -", "above 0"]),
        ("device/cpu", "time_limit_seconds: 120", "time_limit_seconds: .nan", ["time_limit_seconds is nan"]),
        ("experiment/tiny", "max_seconds: 0.01", "max_seconds: .inf", ["sampling: max_seconds is inf"]),
        ("experiment/tiny", "batch: [2]", "batch: []", ["batch is empty"]),
        ("experiment/tiny", "algorithm: [cpu_torch]", "algorithm: []", ["algorithm is empty"]),
        ("experiment/tiny", "name: tiny", "name: tiny\narchitectures: [hopper]", ["'hopper' is no", "sm_90a"]),
        ("experiment/tiny", "name: tiny", "name: tiny\narchitectures: [75]", ["sm_75 is too old", "sm_80"]),
        ("experiment/tiny", "max_seconds", "max_second", ["unknown key 'max_second'", "did you mean max_seconds?"]),
        ("experiment/tiny", "suite: [tiny]", "suite: tiny", ["suite", "must be a list"]),
        ("experiment/tiny", "device: cpu", "device: cdua", ["unknown device 'cdua'"]),
        ("suite/tiny", "layers: [odd_window]", "layers: [odd]", ["unknown layer 'odd'", "odd_window"]),
        (
            "suite/tiny",
            "name: tiny",
            "name: tiny\nchanges: {odd_window: {hight: 3}}",
            ["'hight'", "did you mean height?"],
        ),
        ("suite/tiny", "name: tiny", "name: tiny\nchanges: {odd: {height: 3}}", ["unknown layer 'odd'"]),
        ("suite/tiny", "[odd_window]", "[ic8ih9iw9oc4kh3]", ["write it in its normal form, ic8ih9oc4kh3"]),
        ("suite/tiny", "[odd_window]", "[ic8ih9oc4kh12]", ["ic8ih9oc4kh12: kernel_h is 12"]),
        ("suite/tiny", "name: tiny", "name: tiny\ncounts: {odd: 3}", ["unknown layer 'odd' in counts"]),
        ("suite/tiny", "name: tiny", "name: tiny\ncounts: {odd_window: 0}", ["count of odd_window is 0"]),
        ("suite/tiny", "[odd_window]", "[odd_window, ic8ih9oc4kh3]\ncounts: {odd_window: 1}", ["lacks ic8ih9oc4kh3"]),
        ("suite/tiny", "[odd_window]", "[odd_window, odd_window]", ["odd_window is there twice"]),
        ("suite/tiny", "name: tiny", "name: tiny\nbatch: 0", ["batch is 0"]),
        ("suite/tiny", "name: tiny", "name: tiny\nnetwork: {modle: a}", ["unknown key 'modle'", "model"]),
    ],
)
def test_wrong_file(small_conf: Path, file: str, old: str, new: str, named: list[str]) -> None:
    path = small_conf / f"{file}.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(RequestError) as caught:
        catalog.read(small_conf)
    for text in [f"conf/{file}.yaml", *named]:
        assert text in str(caught.value)


def test_wrong_file_has_its_own_class(small_conf: Path) -> None:
    with (small_conf / "layer/odd_window.yaml").open("a") as file:
        file.write("bias: 0\n")
    with pytest.raises(ConfigFileError):
        catalog.read(small_conf)

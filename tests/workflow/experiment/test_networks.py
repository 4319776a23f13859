"""The networks that come with the project, the experiment that measures them, and the table of their layers."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from analysis.table.companions import NETWORK_COLUMNS
from kernels.problem import ConvProblem
from workflow.aggregate import write_networks
from workflow.experiment.catalog import Catalog
from workflow.experiment.errors import BadValueError, NoPointError
from workflow.experiment.sweep import Selection, Sweep, takes
from workflow.jobs.companions import network_table

#: GFLOP of one image, and convolutions of one forward pass, with those that are unsupported: counted in the models by
#: other means than workflow.network (forward hooks).
TOTALS = {
    "resnet50": (8.174, 53),
    "vgg16": (30.693, 13),
    "resnext50_32x4d": (8.457, 53),
    "mobilenet_v3_large": (0.428, 62),
    "convnext_tiny": (0.586, 22),
    "deeplabv3_resnet50": (337.462, 61),
    "sd15_unet": (443.946, 98),
    "apnet": (14.574, 41),
    "most_dsa": (1648.496, 116),
    "svdc": (601.339, 459),
    "lgvit_vit_b": (2.086, 11),
    "lgvit_swin_b": (0.866, 11),
    "e3dsnn_det": (40.053, 49),
}


def rows(sweep: Sweep) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(network_table(sweep))))


def test_networks_have_the_flops_of_their_models(conf: Catalog) -> None:
    experiment = conf.get("experiment", "networks")
    assert set(experiment["suite"]) == set(TOTALS)
    found = rows(Sweep(conf, Selection("networks", {})))
    assert tuple(found[0]) == NETWORK_COLUMNS
    assert len({(row["suite"], row["layer"]) for row in found}) == len(found)
    for suite, (gflop, convolutions) in TOTALS.items():
        of_suite = [row for row in found if row["suite"] == suite]
        assert sum(int(row["count"]) for row in of_suite) == convolutions
        assert sum(int(row["count"]) * int(row["flops"]) for row in of_suite) / 1e9 == pytest.approx(gflop, abs=1e-3)
        assert all(row["source"] for row in of_suite)


def test_what_cannot_be_measured_has_its_reason(conf: Catalog) -> None:
    found = rows(Sweep(conf, Selection("networks", {})))
    reasons = {suite: {row["unsupported"] for row in found if row["suite"] == suite} - {""} for suite in TOTALS}
    assert {suite: why for suite, why in reasons.items() if why} == {
        "most_dsa": {"transposed convolution", "three dimensions"},
        "svdc": {"deformable convolution"},
        "e3dsnn_det": {"sparse convolution", "transposed convolution"},
    }
    transposed = sum(
        int(row["count"]) * int(row["flops"])
        for row in found
        if row["suite"] == "most_dsa" and row["unsupported"] == "transposed convolution"
    )
    assert transposed / 1648.496e9 == pytest.approx(0.333, abs=1e-3)


def test_a_network_at_its_own_batch_one_after_the_other(conf: Catalog) -> None:
    sweep = Sweep(conf, Selection("networks", {}))
    points = list(sweep.points.values())
    assert {point.suite: point.batch for point in points} == {
        suite: conf.get("suite", suite)["batch"] for suite in TOTALS
    }
    in_order = [point.suite for point in points]
    assert in_order == sorted(in_order, key=conf.get("experiment", "networks")["suite"].index)
    assert len(points) < 2500
    one = Sweep(conf, Selection("networks", {"suite": ["resnet50"]})).points
    assert set(one) == {point.path for point in points if point.suite == "resnet50"}
    other = Sweep(conf, Selection("networks", {"suite": ["svdc"], "batch": ["2"]})).points.values()
    assert {(point.suite, point.batch) for point in other} == {("svdc", 2)}
    with pytest.raises(BadValueError, match="suite paper_table says none; give batch="):
        Sweep(conf, Selection("networks", {"suite": ["paper_table"]}))


def test_points_that_would_be_declined_are_not_planned(conf: Catalog) -> None:
    sweep = Sweep(conf, Selection("networks", {}))
    for point in sweep.points.values():
        problem = sweep.problem(point)
        if point.algorithm == "im2win_winograd":
            assert (problem.kernel_h, problem.kernel_w, problem.stride) == (3, 3, (1, 1))
    with pytest.raises(NoPointError, match="take none of the chosen layers"):
        Sweep(
            conf,
            Selection(
                "networks",
                {"suite": ["lgvit_vit_b"], "algorithm": ["cudnn_winograd_nonfused"], "layer": ["ic768ih14oc768kh1"]},
            ),
        )


@pytest.mark.parametrize(
    ("taken", "taken_of"),
    [
        ({}, [True, True, True]),
        ({"groups": "one"}, [True, False, False]),
        ({"groups": "several"}, [False, True, False]),
        ({"groups": "depthwise"}, [False, False, True]),
        ({"kernel": [3]}, [True, True, False]),
        ({"kernel": [1, 3]}, [True, True, False]),
        ({"stride": 1}, [False, True, True]),
        ({"dilation": 1}, [True, False, True]),
    ],
)
def test_what_an_algorithm_takes(taken: dict[str, Any], taken_of: list[bool]) -> None:
    problems = [
        ConvProblem(1, 4, 9, 9, 4, 3, 3, stride=(2, 1)),
        ConvProblem(1, 4, 9, 9, 4, 3, 3, dilation=(1, 2), groups=2),
        ConvProblem(1, 4, 9, 9, 4, 1, 3, groups=4),
    ]
    any_layer: dict[str, Any] = {"kernel": [], "stride": None, "dilation": None, "groups": "any"}
    assert [takes(any_layer | taken, problem) for problem in problems] == taken_of


def test_the_table_of_networks_comes_and_goes(conf: Catalog, tmp_path: Path) -> None:
    write_networks(Sweep(conf, Selection("networks", {"suite": ["resnet50", "vgg16"]})), tmp_path)
    assert (tmp_path / "networks.csv").read_text().count("\n") == 1 + 23 + 9
    write_networks(Sweep(conf, Selection("tiny", {})), tmp_path)
    assert not (tmp_path / "networks.csv").exists()
    assert network_table(None) == ""

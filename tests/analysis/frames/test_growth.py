"""The growth of errors with the length of the reduction."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.lines import Line2D

from analysis import figures
from analysis.frames import growth
from analysis.table import archive as table
from analysis.table import companions
from analysis.table.archive import Archive
from analysis.table.errors import ArchiveError

Rows = list[dict[str, Any]]
Make = Callable[..., dict[str, Any]]
Build = Callable[..., Path]


def data(line: Line2D) -> tuple[Any, Any]:
    return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()


def write_errors(folder: Path) -> None:
    """Write an accuracy.csv of two layers and two kinds of data; one result has overflowed."""
    table_of = {
        "cudnn_implicit_precomp_gemm": ("strict_fp32", (4e-7, 2e-7), (5e-6, float("inf"))),
        "im2win_tensor_core": ("fp32_accurate", (1e-7, 5e-8), (2e-7, 3e-7)),
        "split_fp16_channels": ("fp32_accurate", (1e-3, 1e-3), (1e-3, 1e-3)),
    }
    rows = [
        dict.fromkeys(companions.ACCURACY_COLUMNS, "")
        | {"suite": "paper_table", "batch": 4, "layer": layer, "reduction": k, "distribution": kind, "status": "ok"}
        | {"algorithm": algorithm, "numerics": numerics, "error_componentwise": error, "error_mean": -error / 4}
        for algorithm, (numerics, *found) in table_of.items()
        for layer, k, pair in zip(("conv7", "conv12"), (27, 4608), found, strict=True)
        for kind, error in zip(("uniform", "huge"), pair, strict=True)
    ]
    pd.DataFrame(rows).to_csv(folder / companions.ACCURACY, index=False)


def test_the_error_grows_with_the_reduction(build: Build, make_row: Make) -> None:
    """conv7 has 3 channels and a 3 x 3 filter, conv12 has 512 and the same filter."""
    rows = [
        make_row(algorithm, layer, numerics=numerics, error_fro=error)
        for algorithm, numerics, found in (
            ("cudnn_implicit_precomp_gemm", "strict_fp32", (1e-7, 1e-6)),
            ("im2win_tensor_core", "fp32_accurate", (3e-8, 2e-7)),
            ("cudnn_implicit_precomp_gemm", "tf32", (2e-4, 3e-4)),
        )
        for layer, error in zip(("conv7", "conv12"), found, strict=True)
    ]
    folder = build([*rows, make_row("im2win", "conv7"), make_row("cudnn_fft", "conv7", error_fro=5e-8)])
    (panel,) = growth.error_growth(table.read(folder)).panels
    points_of = panel.frame.groupby("numerics", sort=False)[["x", "y"]].agg(list)
    assert points_of["x"].tolist() == [[27, 4608]] * 3
    assert points_of.loc["fp32_accurate", "y"] == [3e-8, 2e-7]
    write_errors(folder)
    picture = growth.error_growth(table.read(folder))
    norm, worst, bias = picture.panels
    measured = worst.frame[worst.frame["kind"] == growth.MEASURED].groupby("numerics", sort=False)["y"].agg(list)
    assert measured["strict_fp32"] == [4e-7, 5e-6]  # the largest of both kinds of data that is finite
    assert measured["fp32_accurate"] == [1e-7, 3e-7]
    assert "up to 5.0e-06 in strict_fp32" in picture.caption
    assert "over 2 kinds of data" in picture.caption
    assert "Left out: 1 result that overflowed." in picture.caption
    figure = figures.draw("error_growth", picture)
    mean = bias.frame.groupby("numerics", sort=False)["y"].agg(list)
    assert mean["fp32_accurate"] == pytest.approx([-1e-7 / 4 * 2**24, -3e-7 / 4 * 2**24])
    assert "-1.26 to -0.42 u in fp32_accurate" in picture.caption
    left, right, _ = ({str(line.get_label()): line for line in axes.lines} for axes in figure.axes)
    assert list(left) == list(dict.fromkeys(norm.frame["name"]))
    lines = [line for line in right.values() if line.get_linestyle() == "--"]
    ends = [(data(line)[0][-1], data(line)[1][-1]) for line in lines]
    assert ends == [(4608, pytest.approx(4608 * 2**-24)), (4608, pytest.approx((16 + 144) * 2**-24))]
    assert len({line.get_marker() for line in left.values()}) == 3


def test_a_damaged_table_of_errors_is_a_clear_error(archive: Archive) -> None:
    assert companions.read_accuracy(archive.folder).empty
    (archive.folder / companions.ACCURACY).write_text("suite,batch\n")
    with pytest.raises(ArchiveError, match="columns must be suite, batch"):
        growth.error_growth(archive)

"""Looks and legends, and that every figure fits its page."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import figures
from analysis.charts import points, style
from analysis.frames.captions import captions_json
from analysis.frames.common import Panel, Picture
from analysis.numbers.algorithms import BEST_CUDNN, about, described
from analysis.table import archive as table
from analysis.table.archive import Archive

Rows = list[dict[str, Any]]
Make = Callable[..., dict[str, Any]]
Build = Callable[..., Path]


def test_captions_tell_what_is_drawn(archive: Archive) -> None:
    pictures = figures.prepare(archive)
    found = json.loads(captions_json(pictures))
    assert list(found) == list(figures.FIGURES)
    absent = [name for name, text in found.items() if text.startswith("Not drawn: ")]
    assert absent == ["transform", "batch", "networks", "network_time", "models"]
    assert all(text.endswith(".") for text in found.values())


def test_every_figure_fits_its_page(archive: Archive, build: Build, make_rows: Callable[..., Rows]) -> None:
    both = table.read(build([*make_rows(), *make_rows(protocol="kernel_only"), *make_rows(batch=8)], name="both"))
    both.measurements["tensor_bytes"] *= both.measurements["layer"].str[4:].astype(int)
    for name, drawing in figures.FIGURES.items():
        figure = figures.draw(name, drawing.prepare(both))
        figure.draw_without_rendering()
        boxes = [one.get_window_extent() for one in figure.legends]
        for box in boxes + [one.get_tightbbox() for one in figure.axes]:
            assert box is not None
            assert figure.bbox.x0 - 1 <= box.x0 <= box.x1 <= figure.bbox.x1 + 1, name
            assert figure.bbox.y0 - 1 <= box.y0 <= box.y1 <= figure.bbox.y1 + 1, name


def test_every_algorithm_has_a_look(archive: Archive) -> None:
    assert {*archive.measurements["algorithm"], BEST_CUDNN} <= set(described())
    assert style.look("new")[1] == "+"


def test_marks_in_one_scatter_differ_without_colours(archive: Archive) -> None:
    """Those of cuDNN and ours, with the one on tensor cores."""
    drawn = {name for name in archive.measurements["algorithm"] if about(name).is_candidate}
    drawn |= {"im2win_fused", "im2win_tensor_core"}
    marks = [style.look(name)[1] for name in sorted(drawn)]
    assert len(set(marks)) == len(marks), sorted(zip(marks, sorted(drawn), strict=True))


def test_a_legend_has_rows_of_one_length() -> None:
    figure = Figure()
    style.legend(figure, {str(index): Line2D([], []) for index in range(6)}, 5)
    figure.draw_without_rendering()
    texts = [text.get_window_extent() for text in figure.legends[0].get_texts()]
    assert [len({round(box.x0) for box in texts}), len({round(box.y0) for box in texts})] == [3, 2]


def test_panels_that_share_an_axis_show_all_of_their_points() -> None:
    """Limits that were set for the first panel would cut off what is faster in the next."""
    frames = [
        pd.DataFrame({"algorithm": ["im2win"], "name": ["im2win"], "layer": ["conv1"], "x": [1e-7], "y": [speed]})
        for speed in (10.0, 500.0)
    ]
    picture = Picture("Two classes", tuple(Panel("one", "TFLOPS", frame, x_axis="error") for frame in frames))
    figure = points.scatter(picture)
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert low < 10.0 < 500.0 < high
    plt.close(figure)

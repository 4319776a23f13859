"""The figures' artists: which bars there are, in which order, how high, and what marks a missing number."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.container import BarContainer

from analysis import figures, frames, reference, table
from analysis.table import Archive

Rows = list[dict[str, Any]]
SERIES = ["im2col + cuBLAS", "best cuDNN", "im2win", "direct"]


def bars(axes: Axes) -> dict[str, list[float]]:
    """Bar heights by series, in drawing order, of the bars that show a number."""
    found = [one for one in axes.containers if isinstance(one, BarContainer)]
    shown = {str(one.get_label()): [bar.get_height() for bar in one] for one in found}
    return {name: heights for name, heights in shown.items() if not name.startswith("_")}


def marks(axes: Axes) -> dict[str, BarContainer]:
    found = [one for one in axes.containers if isinstance(one, BarContainer) and len(one)]
    return {str(one.get_label()): one for one in found if str(one.get_label()).startswith("_missing")}


def test_series_order_and_heights(archive: Archive) -> None:
    ours, authors = figures.draw(frames.tflops(archive)).axes
    assert list(bars(ours)) == list(bars(authors)) == SERIES
    grown = [1 + index / 10 for index in range(12)]
    assert bars(ours)["best cuDNN"] == pytest.approx([10 * one for one in grown])
    assert bars(ours)["im2win"] == pytest.approx([8 * one for one in grown])
    assert bars(authors)["best cuDNN"] == reference.authors_tflops()["cudnn_best"].tolist()
    assert [tick.get_text() for tick in ours.get_xticklabels()] == [f"conv{index}" for index in range(1, 13)]
    assert not marks(ours)


def test_memory_is_in_mib(archive: Archive) -> None:
    ours, authors = figures.draw(frames.memory(archive)).axes
    assert bars(ours) == dict(zip(SERIES, [[1000] * 12, [1500] * 12, [750] * 12, [700] * 12], strict=True))
    assert bars(authors)["im2win"] == reference.authors_memory_mib()["im2win"].tolist()
    assert ours.get_ylabel() == "memory, MiB"


def test_the_ablation_prefers_the_kernel_alone(
    build: Callable[..., Path], make_rows: Callable[..., Rows], archive: Archive
) -> None:
    assert "end_to_end" in frames.ablation(archive).panels[0].title
    both = table.read(build([*make_rows(), *make_rows(protocol="kernel_only")]))
    assert "kernel_only" in frames.ablation(both).panels[0].title
    assert "end_to_end" in frames.tflops(both).panels[0].title
    ours = figures.draw(frames.ablation(both)).axes[0]
    variants = ["without prefetch", "without vectorized load", "without micro-kernel"]
    assert list(bars(ours)) == ["im2win", *variants]


def test_titles_say_what_was_measured_where(archive: Archive) -> None:
    figure = figures.draw(frames.tflops(archive))
    title = figure.axes[0].get_title(loc="left")
    for part in ("Test GPU 9000", "paper_table", "batch 64", "end_to_end", "strict_fp32"):
        assert part in title
    assert "authors" in figure.axes[1].get_title(loc="left")


def test_a_missing_number_is_hatched_and_explained(
    build: Callable[..., Path], make_rows: Callable[..., Rows], make_row: Callable[..., dict[str, Any]]
) -> None:
    rows = [row for row in make_rows() if (row["layer"], row["algorithm"]) != ("conv2", "direct")]
    rows = [row for row in rows if (row["layer"], row["algorithm"]) != ("conv5", "im2win")]
    rows.append(make_row("im2win", "conv5", status="out_of_memory", reason="12 GiB"))
    figure = figures.draw(frames.tflops(table.read(build(rows))))
    axes = figure.axes[0]
    assert len(bars(axes)["im2win"]) == 11
    assert 0 not in bars(axes)["im2win"]
    missing = marks(axes)
    assert set(missing) == {"_missing im2win", "_missing direct"}
    mark = missing["_missing im2win"][0]
    assert mark.get_hatch() == figures.HATCH
    assert 3.5 < mark.get_x() < 4.5  # in the group of conv5
    assert {text.get_text() for text in axes.texts} == {"n/a: out of memory", "n/a: not measured"}
    assert "no number" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_nothing_at_all_is_ok(build: Callable[..., Path], make_row: Callable[..., dict[str, Any]]) -> None:
    rows = [make_row("im2win", "conv1", status="unsupported", reason="no")]
    axes = figures.draw(frames.tflops(table.read(build(rows)))).axes[0]
    assert all(not heights for heights in bars(axes).values())
    assert len(marks(axes)) == 4


def test_the_cpu_is_drawn_alone_in_gflops(build: Callable[..., Path], cpu_rows: Rows) -> None:
    archive = table.read(build(cpu_rows, "cpu"))
    (axes,) = figures.draw(frames.tflops(archive)).axes
    assert axes.get_ylabel() == "GFLOPS"
    assert list(bars(axes)) == ["im2col (CPU)", "PyTorch (CPU)", "im2win (CPU)", "direct (CPU)", "FFT (CPU)"]
    assert bars(axes)["FFT (CPU)"][0] == pytest.approx(3000)
    (axes,) = figures.draw(frames.ablation(archive)).axes
    assert "the CPU backend has none" in axes.texts[0].get_text()
    assert len(figures.draw(frames.memory(archive)).axes) == 1


def test_a_table_without_process_peak_says_so(build: Callable[..., Path], make_rows: Callable[..., Rows]) -> None:
    axes = figures.draw(frames.memory(table.read(build(make_rows(process_peak_bytes=None))))).axes[0]
    assert "counted" in axes.get_title(loc="left")
    assert bars(axes)["im2win"] == [101] * 12


def test_the_plot_draws_the_frame_as_it_is() -> None:
    cells = [("b", "direct", 1.0, "ok", ""), ("a", "direct", 3.0, "ok", "")]
    panel = frames.Panel("title", "axis", pd.DataFrame(cells, columns=list(frames.FRAME_COLUMNS)))
    axes = figures.draw(frames.FigureFrames("name", "title", (panel,))).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["b", "a"]
    assert bars(axes) == {"direct": [1.0, 3.0]}


def test_a_second_run_writes_the_same_bytes(archive: Archive, tmp_path: Path) -> None:
    for run in ("first", "second"):
        figures.save(figures.draw(frames.tflops(archive)), tmp_path / run, "tflops")
    for suffix in figures.FORMATS:
        first, second = ((tmp_path / run / f"tflops.{suffix}").read_bytes() for run in ("first", "second"))
        assert first == second
        assert b"CreationDate" not in first
        assert b"<dc:date>" not in first


def test_every_drawn_algorithm_has_a_colour() -> None:
    drawn = {*frames.COMPARED, *frames.ABLATION, *frames.CPU_COMPARED}
    assert drawn == set(figures.COLORS)

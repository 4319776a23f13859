"""The paper's figures: which bars there are, in which order, how high, and what marks a missing number."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.container import BarContainer

from analysis import figures
from analysis.charts import bars, style
from analysis.frames import common, paper
from analysis.numbers import algorithms, published
from analysis.table import archive as table
from analysis.table.archive import Archive
from analysis.table.sizes import tensor_bytes
from tests.analysis.conftest import LAYERS, sizes

Rows = list[dict[str, Any]]
SERIES = ["im2col + cuBLAS", "best cuDNN", "im2win", "direct"]


def heights(axes: Axes) -> dict[str, list[float]]:
    """Bar heights by series, in drawing order, of the bars that show a number."""
    found = [one for one in axes.containers if isinstance(one, BarContainer)]
    shown = {str(one.get_label()): [bar.get_height() for bar in one] for one in found}
    return {name: values for name, values in shown.items() if not name.startswith("_")}


def marks(axes: Axes) -> dict[str, BarContainer]:
    found = [one for one in axes.containers if isinstance(one, BarContainer) and len(one)]
    return {str(one.get_label()): one for one in found if str(one.get_label()).startswith("_missing")}


def test_series_order_and_heights(archive: Archive) -> None:
    ours, authors = bars.grouped(paper.tflops(archive)).axes
    assert list(heights(ours)) == list(heights(authors)) == SERIES
    grown = [1 + index / 10 for index in range(12)]
    assert heights(ours)["best cuDNN"] == pytest.approx([10 * one for one in grown])
    assert heights(ours)["im2win"] == pytest.approx([8 * one for one in grown])
    assert heights(authors)["best cuDNN"] == published.authors_tflops()["cudnn_best"].tolist()
    assert [tick.get_text() for tick in ours.get_xticklabels()] == [f"conv{index}" for index in range(1, 13)]
    assert not marks(ours)


def test_memory_is_in_mib(archive: Archive) -> None:
    ours, authors = bars.grouped(paper.memory(archive)).axes
    assert heights(ours) == dict(zip(SERIES, [[1000] * 12, [1500] * 12, [750] * 12, [700] * 12], strict=True))
    assert heights(authors)["im2win"] == published.authors_memory_mib()["im2win"].tolist()
    assert ours.get_ylabel() == "memory, MiB"


def test_the_ablation_prefers_the_kernel_alone(
    build: Callable[..., Path], make_rows: Callable[..., Rows], archive: Archive
) -> None:
    assert "end_to_end" in paper.ablation(archive).panels[0].title
    both = table.read(build([*make_rows(), *make_rows(protocol="kernel_only")]))
    assert "kernel_only" in paper.ablation(both).panels[0].title
    assert "end_to_end" in paper.tflops(both).panels[0].title
    ours = bars.grouped(paper.ablation(both)).axes[0]
    variants = ["without prefetch", "without vectorized load", "without micro-kernel"]
    assert list(heights(ours)) == ["im2win", *variants]


def test_titles_say_what_was_measured_where(archive: Archive) -> None:
    figure = bars.grouped(paper.tflops(archive))
    title = figure.axes[0].get_title(loc="left")
    for part in ("Test GPU 9000", "paper_table", "batch 64", "end_to_end", "strict_fp32"):
        assert part in title
    assert "authors" in figure.axes[1].get_title(loc="left")


def test_captions_have_the_tables_numbers(archive: Archive) -> None:
    text = paper.tflops(archive).text
    assert "im2win reaches 8.00 (conv1) to 16.8 TFLOPS (conv12)" in text
    assert "faster than best cuDNN on 0 of 12 layers (mean 0.800x)" in text
    assert "25.0 % less than im2col + cuBLAS (12 layers) and 50.0 % less than best cuDNN" in paper.memory(archive).text
    assert "4.00x as fast as without micro-kernel, 1.60x as fast as without" in paper.ablation(archive).text


def test_one_column_is_narrower_and_keeps_the_bars(archive: Archive) -> None:
    wide, narrow = (bars.grouped(paper.tflops(archive), one) for one in (style.TWO_COLUMNS, style.ONE_COLUMN))
    assert (wide.get_figwidth(), narrow.get_figwidth()) == (7.16, 3.5)
    assert heights(wide.axes[0]) == heights(narrow.axes[0])
    narrow.draw_without_rendering()
    page = narrow.bbox
    for axes in narrow.axes:
        box = axes.get_tightbbox()
        assert box is not None
        assert page.x0 <= box.x0 <= box.x1 <= page.x1 + 1
    legend = narrow.legends[0].get_window_extent()
    assert page.x0 <= legend.x0 <= legend.x1 <= page.x1


def test_a_missing_number_is_hatched_and_explained(
    build: Callable[..., Path], make_rows: Callable[..., Rows], make_row: Callable[..., dict[str, Any]]
) -> None:
    rows = [row for row in make_rows() if (row["layer"], row["algorithm"]) != ("conv2", "direct")]
    rows = [row for row in rows if (row["layer"], row["algorithm"]) != ("conv5", "im2win")]
    rows.append(make_row("im2win", "conv5", status="out_of_memory", reason="12 GiB"))
    picture = paper.tflops(table.read(build(rows)))
    assert "No number: 1 not measured and 1 out of memory." in picture.caption
    figure = bars.grouped(picture)
    axes = figure.axes[0]
    assert len(heights(axes)["im2win"]) == 11
    assert 0 not in heights(axes)["im2win"]
    missing = marks(axes)
    assert set(missing) == {"_missing im2win", "_missing direct"}
    mark = missing["_missing im2win"][0]
    assert mark.get_hatch() == style.HATCH
    assert 3.5 < mark.get_x() < 4.5  # in the group of conv5
    assert {text.get_text() for text in axes.texts} == {"n/a: out of memory", "n/a: not measured"}
    assert "no number" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_legend_of_a_part_has_the_colours_of_what_was_not_measured(
    build: Callable[..., Path], make_rows: Callable[..., Rows]
) -> None:
    figure = bars.grouped(paper.tflops(table.read(build(make_rows(["im2win"])))))
    legend = figure.legends[0]
    figure.draw_without_rendering()
    box = legend.get_window_extent()
    assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1
    found = {text.get_text(): patch for text, patch in zip(legend.get_texts(), legend.get_patches(), strict=True)}
    assert list(found) == [
        "im2col + cuBLAS (no number)",
        "best cuDNN (no number)",
        "im2win",
        "direct (no number)",
        "no number",
    ]
    for name, algorithm in (("best cuDNN (no number)", "cudnn_best"), ("im2win", "im2win")):
        assert to_rgb(found[name].get_facecolor()) == style.look(algorithm)[0]


def test_what_has_nothing_to_compare_with_says_what_to_measure(
    build: Callable[..., Path], make_rows: Callable[..., Rows]
) -> None:
    archive = table.read(build(make_rows(["im2win"])))
    for name in ("speedup", "overview"):
        picture = figures.FIGURES[name].prepare(archive)
        assert "nothing to compare with; a run that names algorithms needs such a one too" in picture.note
        assert "cudnn_autotuned" in picture.note
        said = " ".join(text.get_text() for text in figures.draw(name, picture).axes[0].texts)
        assert "nothing to compare with" in said.replace("\n", " ")


def test_nothing_at_all_is_ok(build: Callable[..., Path], make_row: Callable[..., dict[str, Any]]) -> None:
    archive = table.read(build([make_row("im2win", "conv1", status="unsupported", reason="no")]))
    picture = paper.tflops(archive)
    assert "im2win was ok on no layer" in picture.caption
    axes = bars.grouped(picture).axes[0]
    assert all(not values for values in heights(axes).values())
    assert len(marks(axes)) == 4
    for name, drawing in figures.FIGURES.items():
        assert figures.draw(name, drawing.prepare(archive)).axes


def test_the_cpu_is_drawn_alone_in_gflops(build: Callable[..., Path], cpu_rows: Rows) -> None:
    archive = table.read(build(cpu_rows, "cpu"))
    (axes,) = bars.grouped(paper.tflops(archive)).axes
    assert axes.get_ylabel() == "GFLOPS"
    assert list(heights(axes)) == ["im2col (CPU)", "PyTorch (CPU)", "im2win (CPU)", "direct (CPU)", "FFT (CPU)"]
    assert heights(axes)["FFT (CPU)"][0] == pytest.approx(3000)
    (axes,) = figures.draw("ablation", paper.ablation(archive)).axes
    assert "the CPU backend has none" in axes.texts[0].get_text().replace("\n", " ")
    assert len(bars.grouped(paper.memory(archive)).axes) == 1


def test_a_table_without_process_peak_says_so(build: Callable[..., Path], make_rows: Callable[..., Rows]) -> None:
    axes = bars.grouped(paper.memory(table.read(build(make_rows(process_peak_bytes=None))))).axes[0]
    assert "counted" in axes.get_title(loc="left")
    counted = [tensor_bytes(sizes(layer), 64) / 2**20 + 1 for layer in LAYERS]
    assert heights(axes)["im2win"] == pytest.approx(counted)


def test_the_plot_draws_the_frame_as_it_is() -> None:
    cells = [("b", "direct", 1.0, "ok", ""), ("a", "direct", 3.0, "ok", "")]
    panel = common.Panel("title", "axis", pd.DataFrame(cells, columns=list(common.FRAME_COLUMNS)))
    axes = bars.grouped(common.Picture("title", (panel,))).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["b", "a"]
    assert heights(axes) == {"direct": [1.0, 3.0]}


def test_a_second_run_writes_the_same_bytes(archive: Archive, tmp_path: Path) -> None:
    for name in ("tflops", "speedup", "roofline"):
        for run in ("first", "second"):
            style.save(figures.draw(name, figures.FIGURES[name].prepare(archive)), tmp_path / run, name)
        for suffix in style.FORMATS:
            first, second = ((tmp_path / run / f"{name}.{suffix}").read_bytes() for run in ("first", "second"))
            assert first == second
            assert b"CreationDate" not in first
            assert b"<dc:date>" not in first


@pytest.mark.parametrize(
    "drawn",
    [algorithms.in_paper("cuda"), (algorithms.paper(), *algorithms.ablations()), algorithms.in_paper("cpu")],
)
def test_bars_side_by_side_differ_in_grey(drawn: tuple[str, ...]) -> None:
    colors = [style.look(name)[0] for name in drawn]
    grey = sorted(0.299 * red + 0.587 * green + 0.114 * blue for red, green, blue in colors)
    assert min(high - low for low, high in zip(grey, grey[1:], strict=False)) > 0.1
    assert all(name in algorithms.described() for name in drawn)

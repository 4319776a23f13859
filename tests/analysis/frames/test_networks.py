"""The figures and tables of networks, from frames to the artists' data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.container import BarContainer, ErrorbarContainer

from analysis.charts import networks as charts
from analysis.frames import network_tables, networks
from analysis.table import archive as table
from analysis.table.archive import Archive
from analysis.table.schema import KEY
from analysis.writing.tables import DAGGER
from tests.analysis.conftest import network_row, write_networks

Build = Callable[..., Path]
LINES = [("net", "square", 3, None, ""), ("net", "depthwise", 2, None, ""), ("net", "volume", 1, 10**6, "3-D")]


def network_rows() -> list[dict[str, Any]]:
    return [
        network_row("cudnn_autotuned", "square", 4.0),
        network_row("cudnn_gemm", "square", 2.0),
        network_row("im2win_fused", "square", 1.8),
        network_row("im2win_tensor_core", "square", 1.0),
        network_row("cudnn_autotuned", "depthwise", 6.0),
        network_row("im2win_fused", "depthwise", 3.0),
        network_row("im2win_tensor_core", "depthwise", status="unsupported"),
        network_row("cudnn_autotuned", "line", 3.0, suite="single"),
        network_row("im2win_fused", "line", 6.0, suite="single"),
    ]


@pytest.fixture
def two(build: Build) -> Archive:
    """A network with a layer that is not supported, and one with a single layer."""
    return table.read(write_networks(build(network_rows()), *LINES, ("single", "line", 1, None, "")))


def test_the_overview_has_a_line_for_each_network(two: Archive) -> None:
    picture = networks.overview(two)
    (panel,) = picture.panels
    values = panel.frame.pivot(index="network", columns="side", values="value")
    assert values.loc["net, batch 64", ["baseline", "pytorch"]].tolist() == pytest.approx([2, 24 / 9])
    assert values.loc["single, batch 64", ["baseline", "pytorch"]].tolist() == pytest.approx([0.5, 0.5])
    assert values["tf32"].isna().all()
    assert "1.00x over best cuDNN (2 networks)" in picture.caption
    (axes,) = charts.speedups(picture).axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["net, batch 64", "single, batch 64"]
    drawn = [one for one in axes.containers if isinstance(one, ErrorbarContainer)]
    assert [one.get_label() for one in drawn] == ["over best cuDNN", "over PyTorch as it comes", "over cuDNN in TF32"]
    shown = [list(one[0].get_xdata()) for one in drawn]
    assert [len(one) for one in shown] == [2, 2, 0]
    assert [x for one in shown for x in one] == pytest.approx([2, 0.5, 24 / 9, 0.5])
    low, high = axes.get_xlim()
    assert low < 0.5 and high > 24 / 9


def test_every_bar_has_the_same_layers(two: Archive) -> None:
    """Where a side has no result, the time of the best cuDNN is hatched, and the number says for how many layers."""
    picture = networks.time(two)
    assert [panel.title.partition(",")[0] for panel in picture.panels] == ["net", "single"]
    frame = picture.panels[0].frame
    assert "2 of 3 layers (" in picture.panels[0].title
    assert "Ours, FP32-accurate: the kernels on tensor cores alone." in picture.caption
    parts = {side: rows.set_index("kind")["value"].to_dict() for side, rows in frame.groupby("side")}
    assert parts["baseline"] == pytest.approx({"3 x 3": 6, "depthwise": 12})
    assert parts["ours"] == pytest.approx({"3 x 3": 5.4, "depthwise": 6})
    assert parts["ours_accurate"] == pytest.approx({"3 x 3": 3, networks.NO_RESULT: 12})
    assert parts["mix"] == pytest.approx({"3 x 3": 3, "depthwise": 6})
    said = frame[frame["said"] != ""].set_index("side")["said"]
    assert said[["baseline", "ours_accurate", "mix", "tf32"]].tolist() == ["18.0", "15.0 (1)", "9.00", "no result"]
    figure = charts.stacks(picture)
    first, second = figure.axes
    bars = {str(one.get_label()): one for one in first.containers if isinstance(one, BarContainer)}
    assert sorted(bars) == sorted(["3 x 3", "depthwise", networks.NO_RESULT])
    assert bars["depthwise"][0].get_x() == pytest.approx(12)  # after 3 runs of 4 ms by PyTorch
    assert [text.get_text() for text in second.texts] == [
        "3.00",
        "no result",
        "3.00",
        "no result",
        "6.00",
        "no result",
        "6.00",
    ]
    assert [tick.get_text() for tick in first.get_yticklabels()][-1] == "best mix of ours"
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"3 x 3", "1-D", "depthwise", "no result"}


def test_the_tables(two: Archive) -> None:
    built = network_tables.build(two)
    overview = built["networks"].frame.set_index("suite")
    assert overview.loc["net", ["layers", "unsupported", "runs", "baseline_layers"]].tolist() == [3, 1, 6, 2]
    assert overview.loc["net", ["baseline_ms", "baseline_ours_ms", "baseline_speedup"]].tolist() == pytest.approx(
        [18, 9, 2]
    )
    (block,) = built["networks"].blocks
    line = dict(zip(block.header, block.rows[0], strict=False))
    assert (line["layers"], line["best cuDNN, ms"], line["cuDNN in TF32, ms"]) == ("2 of 3", "18.0", "-")
    layers = built["network_layers"]
    frame = layers.frame.set_index("layer")
    assert frame.loc["square", ["time_percent", "over_baseline", "over_pytorch"]].tolist() == pytest.approx(
        [100 / 3, 2, 4]
    )
    assert frame.loc["volume", "unsupported"] == "3-D"
    assert frame.loc["volume", "flops_percent"] > 0
    first, _ = layers.blocks
    shown = [dict(zip(first.header, row, strict=True)) for row in first.rows]
    assert shown[0]["ours, FP32-accurate, ms"] == "1.00 im2win, tensor cores (compensated)"
    assert shown[1]["ours, FP32-accurate, ms"] == "unsup."
    assert (shown[2]["best cuDNN, ms"], shown[2]["not supported because"]) == ("unsup.", "3-D")
    total = shown[3]
    assert (total["layer"], total["count"], total["best cuDNN, ms"]) == ("total of 2 layers", "5", "18.0")
    assert (total["best of ours, ms"], total["over best cuDNN"], total["over PyTorch as it comes"]) == (
        "9.00",
        "2.00",
        "2.67",
    )
    assert "1 not supported, with" in first.note
    assert "cuDNN in TF32 on 2; and ours, FP32-accurate on 1" in first.note
    assert r"\label{tab:network-layers-2}" in layers.latex("network_layers", "GPU")


def test_totals_over_other_layers_say_so(build: Build) -> None:
    """PyTorch has no result on one layer of two."""
    rows = [row for row in network_rows() if (row["layer"], row["algorithm"]) != ("square", "cudnn_autotuned")]
    archive = table.read(write_networks(build(rows), *LINES, ("single", "line", 1, None, "")))
    built = network_tables.build(archive)
    line = built["networks"].markdown.split("\n")[2].split(" | ")
    assert (line[6].split()[0], line[8].split()[0]) == ("2.00x", "2.00x")
    assert [cell.endswith("(1 layer)") for cell in line].count(True) == 1
    block = built["network_layers"].blocks[0]
    total = dict(zip(block.header, block.rows[-1], strict=True))
    assert (total["PyTorch as it comes, ms"], total["over PyTorch as it comes"]) == ("12.0 (1 layer)", "2.00 (1 layer)")
    assert dict(zip(block.header, block.rows[0], strict=True))["PyTorch as it comes, ms"] == "-"


def test_stale_numbers_are_marked(two: Archive) -> None:
    row = next(row for row in network_rows() if row["algorithm"] == "im2win_tensor_core")
    stale = frozenset({tuple(row[column] for column in KEY)})
    cells = network_tables.build(two, stale)["network_layers"].blocks[0].rows[0]
    assert [cell for cell in cells if DAGGER in str(cell)] == [
        f"1.00{DAGGER} im2win, tensor cores (compensated)",
        f"1.00{DAGGER}",
    ]


def test_without_networks_it_says_so(archive: Archive, build: Build) -> None:
    for prepare in (networks.overview, networks.time):
        assert prepare(archive).text == "Not drawn: this table holds no network (a suite that networks.csv lists)."
    for built in network_tables.build(archive).values():
        assert built.markdown == f"{network_tables.NONE}\n"
        assert built.frame.empty
    listed = table.read(
        write_networks(
            build(network_rows(), name="other"),
            *LINES,
            ("single", "line", 1, None, ""),
            ("gone", "square", 1, None, ""),
        )
    )
    assert networks.overview(listed).caption.endswith("Not measured: gone.")
    assert network_tables.overview(listed).closing.endswith("Not measured: gone.")


def test_a_network_on_which_nothing_ran(build: Build) -> None:
    """It stays in the tables and figures, without a number."""
    failed = [network_row(name, "square", status="failed", reason="no") for name in ("cudnn_gemm", "im2win_fused")]
    archive = table.read(write_networks(build(failed), LINES[0]))
    assert "No network has a result on both sides." in networks.overview(archive).caption
    charts.speedups(networks.overview(archive))
    charts.stacks(networks.time(archive))
    built = network_tables.build(archive)
    assert built["networks"].frame["baseline_layers"].tolist() == [0]
    assert "| net | 64 | 0 of 1 |" in built["networks"].markdown
    assert built["network_layers"].blocks[0].rows[-1][0] == "total of 0 layers"


def test_flops_that_depend_on_the_data(build: Build) -> None:
    """A layer that is not supported may have unknown FLOPs: it is told, and counts as 0."""
    sparse = ("net", "sparse ic4", 2, 0, "sparse convolution")
    archive = table.read(write_networks(build(network_rows()), *LINES, sparse, ("single", "line", 1, None, "")))
    block = network_tables.build(archive)["network_layers"].blocks[0]
    assert "2 not supported, with" in block.note
    assert "% of the FLOPs and 1 of unknown FLOPs, which count as 0." in block.note
    assert dict(zip(block.header, block.rows[3], strict=True))["not supported because"] == "sparse convolution"

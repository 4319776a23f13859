"""An algorithm that is added by one file in conf/algorithm/ is shown everywhere, under its own name and colour."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

from analysis import claims as claims_program
from analysis import figures, report
from analysis.frames import devices, grids
from analysis.numbers import algorithms, overview, series
from analysis.prose import claims, front, guide
from analysis.prose.findings import findings
from analysis.prose.summary import describe
from analysis.table import archive as table
from analysis.table.archive import Archive
from analysis.table.companions import ACCURACY, ACCURACY_COLUMNS

Rows = list[dict[str, Any]]
Build = Callable[..., Path]
Add = Callable[..., None]
LABEL, COLOR = "a new idea", "#12ab56"
LAYERS = [f"conv{index}" for index in range(1, 13)]
#: What shows all of ours; tflops, memory and ablation are the paper's.
DRAWN = ("speedup", "time", "memory_speed", "accuracy", "roofline", "batch")


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """Add a file to a copy of conf/algorithm/, which the analysis reads from then on."""
    folder = shutil.copytree(algorithms.FOLDER, tmp_path / "algorithm")

    def write(name: str, numerics: str = "strict_fp32", arithmetic: str = "fp32", **about: str | int) -> None:
        lines = [f"name: {name}", "backend: cuda", f"numerics: [{numerics}]", f"arithmetic: {arithmetic}", "about:"]
        lines += [f"  {key}: {json.dumps(value)}" for key, value in ({"label": LABEL, "color": COLOR} | about).items()]
        (folder / f"{name}.yaml").write_text("\n".join(lines) + "\n")
        monkeypatch.setattr(algorithms, "FOLDER", folder)

    return write


def with_rows(
    make_rows: Callable[..., Rows], make_row: Callable[..., dict[str, Any]], name: str, **changes: Any
) -> Rows:
    """The whole table at two batches under two protocols, and a further algorithm that wins on conv1 alone."""
    rows = []
    for batch in (64, 8):
        for protocol in ("end_to_end", "kernel_only"):
            rows += make_rows(batch=batch, protocol=protocol)
            rows += [
                make_row(name, layer, 40.0 if layer == "conv1" else 1.5, batch=batch, protocol=protocol, **changes)
                for layer in LAYERS
            ]
    return rows


def getter_of(artist: Any) -> Callable[[], Any]:
    """What gives an artist's colour; error bars are a tuple of artists, bars a container."""
    first = artist[0] if isinstance(artist, tuple) else artist
    return first.get_color if isinstance(first, Line2D) else first.get_facecolor


def colors_of(axes: Axes, label: str) -> set[tuple[float, float, float]]:
    """The colours of the lines and bars of one series."""
    handles, labels = axes.get_legend_handles_labels()
    found = [handle for handle, name in zip(handles, labels, strict=True) if label in name]
    return {to_rgb(getter_of(one)()) for one in found}


def is_drawn(archive: Archive, name: str) -> bool:
    """Whether a figure names the algorithm; then its marks have its colour."""
    figure = figures.draw(name, figures.FIGURES[name].prepare(archive))
    figure.draw_without_rendering()
    ticks = [tick.get_text() for axes in figure.axes for tick in axes.get_yticklabels()]
    found = {color for axes in figure.axes for color in colors_of(axes, LABEL)}
    assert found <= {to_rgb(COLOR)}
    return bool(found) or LABEL in ticks


def everything_said(archive: Archive, folder: Path) -> dict[str, str]:
    """The tables, sentences and pages of a table, by name."""
    judged = claims.explained(archive)
    return {
        "speeds": grids.build(archive)["tflops"].markdown,
        "memory": grids.build(archive)["memory"].markdown,
        "summary": "\n".join(describe(archive, judged, folder)),
        "against": grids.against_best(archive).markdown,
        "guide": guide.body(archive),
        "comparison": devices.comparison([archive, archive]).markdown,
    }


def test_one_of_ours(
    add: Add, build: Build, make_rows: Callable[..., Rows], make_row: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    add("im2win_new", role="ours", marker="D")
    archive = table.read(build(with_rows(make_rows, make_row, "im2win_new")))
    said = everything_said(archive, tmp_path)
    for name, text in said.items():
        assert LABEL in text, name
        assert "im2win_new" not in text, name
    # 40 against the best cuDNN's 10 on conv1, and 1.5 against 11 to 21 on the others.
    assert (
        f"| {LABEL} | strict_fp32 | 1.50 (conv2) to 40.0 (conv1) | 0.131x, 1 of 12 | 0.131x, 1 of 12 |"
        in said["against"]
    )
    assert "our kernels in strict_fp32 is 0.915x" in " ".join(findings(archive, claims.explained(archive)))
    assert f"| conv1 | {LABEL} (0.337 ms) |" in said["guide"]
    assert f"On 1 of the others (conv1) {LABEL} is the fastest" in said["guide"]
    for name in DRAWN:
        assert is_drawn(archive, name), name
    for name in ("tflops", "memory", "ablation"):
        assert not is_drawn(archive, name), name
    assert f"{LABEL} on conv1 (up to 4.00x)" in figures.FIGURES["speedup"].prepare(archive).caption
    assert [panel.title for panel in devices.tflops([archive, archive]).panels][3] == LABEL
    assert algorithms.in_order(["direct", "im2win_new", "cpu_fft"]) == ["direct", "cpu_fft", "im2win_new"]


def test_the_report_shows_it(
    add: Add,
    build: Build,
    make_rows: Callable[..., Rows],
    make_row: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add("im2win_new", role="ours")
    folder = build(with_rows(make_rows, make_row, "im2win_new"))
    (folder / "sources.json").write_text(json.dumps({"algorithms": {"im2win_new": "changed"}, "harness": "harness"}))
    monkeypatch.setattr(sys, "argv", ["claims", "--table", str(folder), "--output-dir", str(folder)])
    claims_program.main()
    paths = {"--table": folder, "--sources": folder / "sources.json", "--figures": folder, "--tables": folder}
    paths |= {"--claims": folder / "claims.csv", "--output": folder / "report.md", "--html": folder / "report.html"}
    monkeypatch.setattr(sys, "argv", ["report", *(str(part) for pair in paths.items() for part in pair)])
    report.main()
    for name in ("report.md", "report.html"):
        text = (folder / name).read_text()
        assert f"the sources of {LABEL} have changed" in text
        assert f"{LABEL} (0.337 ms)" in text
        assert "1.50 (conv2) to 40.0 (conv1)" in text


def test_a_baseline_of_cudnn_takes_part_in_its_best(
    add: Add, build: Build, make_rows: Callable[..., Rows], make_row: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    add("another_engine", role="baseline", best_of="cudnn", order=98)
    archive = table.read(build(with_rows(make_rows, make_row, "another_engine")))
    _, rows = series.headline(archive)
    best = rows[rows["algorithm"] == algorithms.BEST_CUDNN].set_index("layer")
    assert best.at["conv1", "chosen"] == "another_engine"
    assert set(best["chosen"]) == {"another_engine", "cudnn_implicit_gemm"}
    assert (
        f"best cuDNN is cuDNN implicit GEMM on 11 layers and {LABEL} on 1 layer."
        in grids.against_best(archive).markdown
    )
    judged = claims.explained(archive).set_index(["claim", "batch", "protocol"])
    row = judged.loc[("speedup_cudnn", 64, "end_to_end")]
    assert row["interval"] == "bootstrap of the raw samples"
    heat = figures.FIGURES["speedup"].prepare(archive)
    assert heat.panels[0].frame.set_index(["algorithm", "layer"]).at[("another_engine", "conv1"), "value"] == 1.0
    assert LABEL not in heat.caption  # it is among those that the others are compared with
    assert LABEL in grids.build(archive)["best_cudnn"].markdown
    for name in ("speedup", "memory_speed", "accuracy"):
        assert is_drawn(archive, name), name


def test_further_baselines_stand_beside_the_best_cudnn(
    build: Build, make_rows: Callable[..., Rows], make_row: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """They are in no claim and not in the best cuDNN, even where they are faster; in TF32 one best is over all."""
    rows = with_rows(make_rows, make_row, "cudnn_channels_last")
    before = claims.explained(table.read(build(make_rows())))
    for name, tflops in (("cudnn_autotuned", 20.0), ("cudnn_channels_last", 30.0)):
        rows += [make_row(name, layer, tflops, numerics="tf32") for layer in LAYERS]
    rows += [make_row("cudnn_autotuned", "conv3", 50.0, numerics="tf32", suite="authors_log")]
    for name, tflops in (("im2win_tensor_core", 60.0), ("triton_tf32x3", 15.0)):
        rows += [make_row(name, layer, tflops, numerics="fp32_accurate") for layer in LAYERS]
    archive = table.read(build(rows))
    _, first = series.headline(archive)
    assert set(first[first["algorithm"] == algorithms.BEST_CUDNN]["chosen"]) == {"cudnn_implicit_gemm"}
    judged = claims.explained(archive)
    headline = (judged["batch"] == 64) & (judged["protocol"] == "end_to_end") & (judged["numerics"] == "strict_fp32")
    headline &= judged["suite"] == "paper_table"
    assert list(judged[headline]["measured"].dropna()) == list(before[before["protocol"] == "end_to_end"]["measured"])
    said = grids.against_best(archive).markdown
    last, triton = (algorithms.label(name) for name in ("cudnn_channels_last", "triton_tf32x3"))
    assert f"| {last} | strict_fp32 | 1.50 (conv2) to 40.0 (conv1) |" in said
    assert f"| {triton} | fp32_accurate | 15.0 (conv1) to 15.0 (conv1) |" in said
    over = overview.overview(archive)
    assert set(over.best["tf32"]["algorithm"]) == {"cudnn_channels_last"}
    assert "on 12 of 12 layers; than cuDNN in TF32 on 12" in front.table(archive, judged)
    caption = figures.FIGURES["speedup"].prepare(archive).caption
    assert f"{last} on conv1 (up to 4.00x)" in caption
    assert f"{triton} in fp32_accurate on conv1 " in caption
    assert caption.count(last) == 1  # not also for its TF32


def test_one_of_ours_on_tensor_cores(
    add: Add, build: Build, make_rows: Callable[..., Rows], make_row: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """It stands beside im2win_tensor_core wherever that one is shown."""
    add("im2win_new_cores", "fp32_accurate", "fp16x3", role="ours", marker="D")
    rows = with_rows(make_rows, make_row, "im2win_new_cores", numerics="fp32_accurate", error_fro=2e-7)
    rows += make_rows(["im2win_tensor_core"], numerics="fp32_accurate")
    rows += make_rows(["im2win_tensor_core"], numerics="fp32_accurate", batch=8)
    folder = build(rows)
    archive = table.read(folder)
    archive.provenance["ceilings"] = {"fp32_flops": 6e13, "fp16_flops": 6e14}
    said = everything_said(archive, tmp_path)
    for name, text in said.items():
        assert LABEL in text, name
    assert f"| {LABEL} | fp32_accurate | 1.50 (conv2) to 40.0 (conv1) |" in said["against"]
    assert "| im2win, tensor cores (compensated) | fp32_accurate |" in said["against"]
    assert f"{LABEL} is faster than the fastest of these on 1 of 12 layers" in said["guide"]
    for name in (*DRAWN, "error_growth"):
        assert is_drawn(archive, name), name
    both = f" im2win, tensor cores (compensated) and {LABEL} run on tensor cores with error compensation"
    for name in ("time", "memory_speed", "roofline", "batch"):
        assert both in figures.FIGURES[name].prepare(archive).caption, name
    assert "three FP16 products" in figures.FIGURES["roofline"].prepare(archive).caption
    lines = [",".join(ACCURACY_COLUMNS)]
    for name, error in (("im2win_tensor_core", 1e-7), ("im2win_new_cores", 2e-7)):
        cells = dict.fromkeys(ACCURACY_COLUMNS, "") | {"suite": "paper_table", "batch": 4, "layer": "conv7"}
        cells |= {"reduction": 27, "distribution": "uniform", "algorithm": name, "numerics": "fp32_accurate"}
        cells |= {"status": "ok", "error_componentwise": error}
        lines.append(",".join(str(cell) for cell in cells.values()))
    (folder / ACCURACY).write_text("\n".join(lines) + "\n")
    picture = figures.FIGURES["error_growth"].prepare(archive)
    assert f"2.0e-07 in fp32_accurate by {LABEL}" in picture.caption
    assert set(picture.panels[1].frame["algorithm"]) == {"im2win_tensor_core", "im2win_new_cores", ""}
    assert is_drawn(archive, "error_growth")


def test_an_algorithm_without_a_file(
    build: Build, make_rows: Callable[..., Rows], make_row: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """One of an archive from elsewhere is shown under its own name, in grey and last."""
    archive = table.read(build([*make_rows(), *(make_row("aardvark", layer, 2.0) for layer in LAYERS)]))
    frame = figures.FIGURES["speedup"].prepare(archive).panels[0].frame
    assert list(dict.fromkeys(frame["algorithm"]))[-1] == "aardvark"
    assert "| aardvark | TFLOPS |" in grids.build(archive)["tflops"].markdown
    figure = figures.draw("accuracy", figures.FIGURES["accuracy"].prepare(archive))
    assert colors_of(figure.axes[0], "aardvark") == {to_rgb("0.5")}
    everything_said(archive, tmp_path)

"""Several tables side by side: what they share, the frames, the bars and the files."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis import compare
from analysis.charts import bars
from analysis.frames import devices, machines
from analysis.numbers.verdicts import judge
from analysis.table import archive as table
from analysis.table import cli
from analysis.table.archive import Archive
from tests.analysis.charts.test_figures import heights, marks

Rows = list[dict[str, Any]]
Build = Callable[..., Path]
SOME = ["im2win", "cudnn_gemm", "direct"]


@pytest.fixture
def pair(build: Build, make_rows: Callable[..., Rows], make_row: Callable[..., dict[str, Any]]) -> list[Archive]:
    """Two tables of one device: in the second, im2win is half as fast, not measured on conv2 and failed on conv3."""
    first = [*make_rows(SOME), *make_rows(SOME, protocol="kernel_only")]
    second = make_rows(["cudnn_gemm", "direct"], experiment="later")
    for row in make_rows(["im2win"], experiment="later"):
        if row["layer"] == "conv3":
            row = make_row("im2win", "conv3", experiment="later", status="failed", reason="crashed")
        elif row["layer"] != "conv2":
            row = make_row("im2win", row["layer"], row["tflops"] / 2, experiment="later")
        else:
            continue
        second.append(row)
    return [table.read(build(rows, name=name)) for name, rows in (("one", first), ("two", second))]


def test_devices_of_one_name_are_told_apart(pair: list[Archive], archive: Archive) -> None:
    assert devices.device_names(pair) == ["one", "two"]
    assert devices.device_names([archive]) == ["Test GPU 9000"]


def test_what_is_in_common(pair: list[Archive], build: Build, cpu_rows: Rows) -> None:
    where, rows = devices.in_common(pair)
    assert where == "suite paper_table, batch 64, end_to_end, strict_fp32"  # whatever the experiment is called
    assert {name: set(one["experiment"]) for name, one in rows.items()} == {
        "one": {"paper"},
        "two": {"later"},
    }
    cpu = table.read(build(cpu_rows, "cpu", name="cpu"))
    assert devices.in_common([pair[0], cpu]) == ("", {})
    for picture in (devices.tflops([pair[0], cpu]), devices.speedup([pair[0], cpu])):
        assert picture.text.startswith("Not drawn: the tables have no suite")
    assert devices.comparison([pair[0], cpu]).markdown.startswith("Not drawn: ")


def test_speed_on_two_devices(pair: list[Archive]) -> None:
    picture = devices.tflops(pair)
    assert "im2win is 0.500x as fast on two" in picture.caption
    assert "geometric mean of 10 layers" in picture.caption
    assert "No number: 1 failed and 1 not measured." in picture.caption
    figure = bars.by_device(picture)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["best cuDNN", "im2win", "direct"]  # none has cuBLAS
    found = heights(figure.axes[1])
    assert [len(one) for one in found.values()] == [12, 10]
    assert (found["one"][0], found["two"][0]) == (8.0, 4.0)
    assert [text.get_text() for text in figure.axes[1].texts] == ["n/a: not measured", "n/a: failed"]
    assert set(marks(figure.axes[1])) == {"_missing two"}
    colors = [one[0].get_facecolor() for one in figure.axes[0].containers if len(one)]
    assert len(set(colors)) == 2


def test_speedup_on_two_devices(pair: list[Archive]) -> None:
    picture = devices.speedup(pair)
    assert [panel.title for panel in picture.panels] == ["im2win / best cuDNN", "im2win / direct"]
    frame = picture.panels[0].frame.set_index(["algorithm", "layer"])
    assert frame.at[("one", "conv1"), "value"] == pytest.approx(8 / 3)
    assert frame.at[("two", "conv1"), "value"] == pytest.approx(4 / 3)
    assert frame.at[("two", "conv3"), "status"] == "failed"
    assert "on two it is ahead of best cuDNN on 10 of 10 layers" in picture.caption
    axes = bars.by_device(picture).axes[0]
    assert list(axes.lines[0].get_ydata()) == [1, 1]  # type: ignore[arg-type]


def test_the_table_compares_with_the_first(pair: list[Archive]) -> None:
    frame = devices.comparison(pair).frame.set_index(["algorithm", "device"])
    assert frame.loc[("im2win", "two"), ["over_first", "layers_compared"]].tolist() == [0.5, 10]
    assert frame.loc[("direct", "one"), "over_first"] == 1
    assert list(frame.index.get_level_values(0).unique()) == ["cudnn_best", "im2win", "direct", "cudnn_gemm"]


def test_claims_on_each_machine(pair: list[Archive], build: Build, cpu_rows: Rows) -> None:
    """Each is judged from its own table: twice the speed of direct in the one, as much as direct in the other."""
    found = machines.claims(pair)
    frame = found.frame.set_index(["device", "protocol", "claim"])
    one, two = devices.device_names(pair)
    for device, archive in ((one, pair[0]), (two, pair[1])):
        own = judge(archive).set_index(["protocol", "claim"])
        assert (
            frame.loc[(device, "end_to_end", "speedup_direct"), "measured"]
            == (own.loc[("end_to_end", "speedup_direct"), "measured"])
        )
    assert frame.loc[(one, "end_to_end", "speedup_direct"), "measured"] == pytest.approx(
        2 * frame.loc[(two, "end_to_end", "speedup_direct"), "measured"]
    )
    assert set(frame.loc[one].index.get_level_values(0)) == {"end_to_end", "kernel_only"}
    assert [block.heading for block in found.blocks] == ["end_to_end", "kernel_only"]
    assert {row[2] for row in found.blocks[1].rows} == {"-"}  # the second was not measured under it
    assert found.blocks[0].header == ["claim", one, two, "published"]
    cpu = table.read(build(cpu_rows, "cpu", name="cpu"))
    assert "not testable here" in machines.claims([pair[0], cpu]).markdown


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit status of the program."""
    monkeypatch.setattr(sys, "argv", ["compare", *(str(one) for one in arguments)])
    try:
        cli.run(compare.main)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_program_writes_the_same_files_twice(
    pair: list[Archive], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    for output in (tmp_path / "first", tmp_path / "second"):
        assert run(monkeypatch, *(one.folder for one in pair), "--output", output, "--format", "svg") == 0
        written.append({path.relative_to(output): path.read_bytes() for path in output.rglob("*") if path.is_file()})
    assert written[0] == written[1]
    assert sorted(str(path) for path in written[0]) == [
        *("figures/captions.json", "figures/speedup.svg", "figures/tflops.svg", "report.html", "report.md"),
        *("tables/claims.csv", "tables/claims.md"),
        *("tables/comparison.csv", "tables/comparison.md", "tables/comparison.tex"),
        *("tables/points.csv", "tables/points.md"),
    ]
    report = (tmp_path / "first/report.md").read_text()
    for text in ("## Point by point", "![tflops](figures/tflops.svg)", "Machine and software: two"):
        assert text in report
    assert "<svg" in (tmp_path / "first/report.html").read_text()


def test_exit_status(
    pair: list[Archive], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (archive.folder for archive in pair)
    assert run(monkeypatch, one, one, "--require-agreement") == 0
    assert "by the rule of 95 % the two runs repeat each other" in capsys.readouterr().out
    assert run(monkeypatch, one, two) == 0
    assert run(monkeypatch, one, two, "--require-agreement") == 1
    assert "the two runs do not repeat each other" in capsys.readouterr().out
    assert run(monkeypatch, one, tmp_path / "nowhere") == 2
    assert "there is no such folder of results" in capsys.readouterr().err
    assert run(monkeypatch, one) == 2


def test_archives_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "ARCHIVES", tmp_path)
    (tmp_path / "nvidia-h100").mkdir()
    assert cli.find("nvidia-h100").resolve() == (tmp_path / "nvidia-h100").resolve()
    assert cli.find("results/cpu") == Path("results/cpu")

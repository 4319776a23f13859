"""From a number back to its samples, configuration, sources and machine."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis import trace
from analysis.numbers.series import rows_of, selections
from analysis.prose.trace import row_of
from analysis.table import archive as table
from analysis.table import cli
from analysis.table.archive import Archive
from analysis.table.companions import read_accuracy
from analysis.table.sizes import flops
from tests.analysis.conftest import sizes

ARCHIVES = Path(__file__).resolve().parents[2] / "analysis/archive"


@pytest.fixture
def told(
    tmp_path: Path,
    make_rows: Callable[..., Any],
    make_provenance: Callable[..., Any],
    make_samples: Callable[..., Any],
) -> Archive:
    """A table whose provenance tells everything."""
    rows = make_rows(spread=0.01)
    provenance = make_provenance(rows)
    provenance["ceilings"] = {"fp32_flops": 6.5e13, "copy_bytes_per_s": 3e12, "context_bytes": 2**29}
    provenance["environments"][0]["host"] = "0a1b2c3d"
    state: dict[str, Any] = {"sm_clock_low_mhz": 1900.0, "sm_clock_high_mhz": 1980.0, "usual_clock_mhz": 1980.0}
    state |= {"other_load_cores": 0.75}
    state |= {"lowered_for": {"power cap": 7}}
    state |= {"discarded": [{"time_ms": 2.5, "sm_clock_mhz": 900.0, "why": "clock below 75 % of 1980 MHz"}]}
    for point in provenance["points"]:
        point["run"] |= {"protocols": {"end_to_end": state}, "started": "2026-01-02T03:04:05Z", "uuid": "GPU-a"}
        point["config"]["protocols"] = [{"name": "end_to_end", "clock": "device"}, {"name": "authors"}]
    table.write(tmp_path / "told", rows, make_samples(rows), provenance)
    return table.read(tmp_path / "told")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["trace", *(str(one) for one in arguments)])
    try:
        cli.run(trace.main)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_everything_there_is(
    told: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = tmp_path / "sources.json"
    sources.write_text(json.dumps({"algorithms": {"im2win": "hash-im2win"}, "harness": "another"}))
    assert run(monkeypatch, told.folder, "conv2", "im2win", "--sources", sources) == 0
    said = capsys.readouterr().out
    time = 64 * flops(sizes("conv2")) / 8.8e9  # at 8.8 TFLOPS
    for text in (
        "layer conv2, algorithm im2win",
        f"{time:.5g} ms [{0.99 * time:.5g} to {1.01 * time:.5g}], the median of 3 samples; sampling ended: converged",
        f"{told.folder}/samples.csv.gz, 3 rows with this key",
        "checked    time and interval are the median of these samples and its 95 % interval, speed is",
        f"{64 * flops(sizes('conv2'))} FLOPs over the time",
        "no manifest, so only numbers that follow from others are checked",
        "1900 to 1980 MHz around the samples, usually 1980",
        "lowered: power cap around 7",
        "other load 0.8 cores were kept busy by other programs meanwhile",
        "1 samples taken while the device was slowed down",
        "2.5 ms at 900.0 MHz: clock below 75 % of 1980 MHz",
        "hash-im2win (the algorithm's), as today",
        "harness (the measuring program's), STALE",
        "Test GPU 9000, GPU-a",
        "host 0a1b2c3d, driver None",
        "torch 2.0",
        "copy_bytes_per_s 3e+12, fp32_flops 6.5e+13",
        "context    536870912 bytes (512 MiB) of a process's peak",
        "2026-01-02T03:04:05Z, seed 1, log points/conv2/im2win/log.txt",
        '"clock": "device"',
        "process peak 786432000 bytes",
    ):
        assert text in said
    assert '"authors"' not in said  # only the row's own protocol


def test_the_best_cudnn_is_the_one_it_was(told: Archive, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert run(monkeypatch, told.folder, "conv1", "cudnn_best", "--sources", told.folder / "none") == 0
    said = capsys.readouterr().out
    assert said.startswith("the best cuDNN on conv1 is cudnn_implicit_gemm")
    assert "Whether it is stale is not known" in said


def test_what_is_not_ok_has_its_reason(told: Archive, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert run(monkeypatch, told.folder, "conv1", "cudnn_winograd") == 0
    assert "unsupported: CUDNN_STATUS_NOT_SUPPORTED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("conv13", "im2win"), ["has no layer conv13", "conv11 and conv12"]),
        (("conv1", "im2wim"), ["has no algorithm im2wim", "im2win_base"]),
        (("conv1", "im2win", "authors"), ["holds nothing with protocol authors", "it has: suite paper_table"]),
        (("conv1", "im2win", "--batch", "1"), ["holds nothing with batch 1"]),
        (("--claim", "nothing"), ["there is no claim nothing", "speedup_cublas"]),
        (("conv1",), ["give a layer, an algorithm"]),
        ((), ["give a layer, an algorithm"]),
    ],
)
def test_no_such_number(
    told: Archive, monkeypatch: pytest.MonkeyPatch, capsys: Any, arguments: tuple[str, ...], named: list[str]
) -> None:
    assert run(monkeypatch, told.folder, *arguments) == 2
    said = capsys.readouterr().err
    for text in named:
        assert text in said


@pytest.mark.parametrize(
    ("claim", "algorithms"),
    [("speedup_cudnn", ["im2win", "cudnn_best"]), ("memory_cublas", ["im2win", "im2col_cublas"])],
)
def test_what_a_claim_is_made_of(
    told: Archive, monkeypatch: pytest.MonkeyPatch, capsys: Any, claim: str, algorithms: list[str]
) -> None:
    assert run(monkeypatch, told.folder, "--claim", claim) == 0
    commands = [line.split("#")[0].split()[3:] for line in capsys.readouterr().out.splitlines() if "python -m" in line]
    assert len(commands) == 24
    assert [command[2] for command in commands[:2]] == algorithms
    for command in (commands[0], commands[-1]):
        assert run(monkeypatch, *command) == 0


def test_a_claim_of_another_selection(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The commands name what is not the first: here the batch."""
    assert run(monkeypatch, "nvidia-h200", "--claim", "speedup_cublas", "--batch", 16) == 0
    said = capsys.readouterr().out.splitlines()
    (ratio,) = [line for line in said if "mean of 12 layers" in line]
    commands = [line.split("#") for line in said if "python -m" in line]
    assert all(command.split()[-2:] == ["--batch", "16"] for command, _ in commands)
    times = [float(comment.split()[0]) for _, comment in commands]
    ratios = [theirs / ours for ours, theirs in zip(times[::2], times[1::2], strict=True)]
    assert f"{sum(ratios) / 12:.2f}x" in ratio
    assert run(monkeypatch, *commands[0][0].split()[3:]) == 0
    assert "batch 16" in capsys.readouterr().out.splitlines()[0]


def test_an_algorithm_of_another_class_is_found(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert run(monkeypatch, "nvidia-h200", "conv4", "im2win_tensor_core") == 0
    assert "numerics fp32_accurate, batch 64" in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize("name", sorted(path.name for path in ARCHIVES.iterdir()))
def test_every_number_of_an_archive_has_its_origin(name: str) -> None:
    archive = table.read(ARCHIVES / name)
    keys = {key for key, _ in archive.samples().groupby(list(table.KEY), sort=False)}
    points = archive.points()
    for selection in selections(archive.measurements):
        rows = rows_of(archive.measurements, selection)
        assert len(rows) > 0
        first = rows.iloc[0]
        assert row_of(archive, selection, first["layer"], first["algorithm"])["time_ms"] == first["time_ms"]
        for row in rows.to_dict("records"):
            point = points[tuple(row[column] for column in table.POINT_KEY)]
            assert point["config"]["layer"]["name"] == row["layer"]
            assert point["run"]["harness_hash"]
            if row["status"] == "ok":
                assert tuple(row[column] for column in table.KEY) in keys
                assert row["source_hash"]


def test_an_error_on_a_kind_of_data(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ARCHIVES / "nvidia-h100-80gb-hbm3"
    assert run(monkeypatch, folder, "conv5", "im2win_tensor_core", "--data", "wide_exponent") == 0
    said = capsys.readouterr().out
    chosen = "layer == 'conv5' and distribution == 'wide_exponent' and algorithm == 'im2win_tensor_core'"
    row = read_accuracy(folder).query(chosen).iloc[0]
    for text in (
        "conv5, im2win_tensor_core, wide_exponent in paper_table, batch 4",
        f"{row['error_fro']:.3g} in norm",
        row["source_hash"],
    ):
        assert text in said
    assert run(monkeypatch, folder, "conv5", "im2win_tensor_core", "--data", "pink") == 2
    assert "has no distribution pink" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("beside", "named"),
    [
        (["conv5", "im2win", "kernel_only"], "kernel_only"),
        (["--claim", "speedup_cublas"], "--claim"),
        (["conv5", "im2win", "--batch", "1"], "--batch"),
    ],
)
def test_an_error_has_no_other_address(
    beside: list[str], named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, ARCHIVES / "nvidia-h100-80gb-hbm3", *beside, "--data", "normal") == 2
    assert f"leave out {named}" in capsys.readouterr().err

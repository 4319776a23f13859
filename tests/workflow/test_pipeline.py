"""The whole path on the CPU, as a user runs it: measured for real, drawn, archived, and redrawn without PyTorch."""

from __future__ import annotations

import csv
import time

from tests.workflow.conftest import Checkout

TINY = ("--config", "experiment=tiny", "layer=odd_window", "algorithm=cpu_im2win,cpu_torch")


def test_tiny_experiment(real_checkout: Checkout) -> None:
    checkout = real_checkout
    output = checkout.ran(*TINY)
    device = checkout.folder / "results/cpu"
    with (device / "measurements.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["algorithm"], row["protocol"]) for row in rows] == [
        (algorithm, protocol) for protocol in ("end_to_end", "kernel_only") for algorithm in ("cpu_im2win", "cpu_torch")
    ]
    for row in rows:
        assert row["status"] == "ok", row["reason"]
        assert float(row["error_fro"]) < 1e-5
        assert float(row["time_ms"]) > 0
    made = ["figures/tflops.svg", "figures/memory.png", "tables/tflops.csv", "claims.csv"]
    made += ["report.md", "report.html", "guide.md"]
    for name in made:
        assert (device / name).stat().st_size > 0
    for text in ("odd_window", "im2win (CPU)", "points: 2 ok", "results/cpu/report.html"):
        assert text in output
    assert (checkout.folder / "results/summary.txt").read_text().strip() in output

    started = time.perf_counter()
    assert "Nothing to be done" in checkout.ran(*TINY)
    assert time.perf_counter() - started < 10

    checkout.ran("--report", "report.html", *TINY)
    report = (checkout.folder / "report.html").read_text()
    assert "Speed of the paper" in report

    assert "4 rows copied" in checkout.ran("archive", *TINY)
    assert (checkout.folder / "analysis/archive/cpu/samples.csv.gz").exists()
    stand_in = checkout.folder / "stand_in"
    stand_in.mkdir()
    (stand_in / "torch.py").write_text("raise ImportError('drawing must not need PyTorch')\n")
    output = checkout.ran("--config", "archive=cpu", "results=redrawn")
    assert "Measuring" not in output
    assert "Compiling" not in output
    redrawn = checkout.folder / "redrawn/archive/cpu"
    for name in made:
        assert (redrawn / name).stat().st_size > 0
    assert (redrawn / "figures/tflops.svg").read_bytes() == (device / "figures/tflops.svg").read_bytes()


def test_lint(real_checkout: Checkout) -> None:
    assert "good condition" in real_checkout.ran("--lint")

"""Many points and several GPUs: planning stays quick, and each GPU of a host measures the anchors."""

from __future__ import annotations

import json
import resource
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.workflow.conftest import Checkout
from tests.workflow.simulate import GPUS, RESULTS, batches, prepare

PAPER = ("--config", "experiment=paper", "layer=conv12", "algorithm=im2win,cudnn_implicit_gemm,direct")


@pytest.fixture
def eight_gpus(tmp_path: Path) -> Checkout:
    return replace(prepare(tmp_path / "checkout"), forked=True)


def test_every_gpu_measures_the_anchors(eight_gpus: Checkout) -> None:
    eight_gpus.ran(f"{RESULTS}/report.md", *PAPER)
    lines = [line.split() for line in (eight_gpus.folder / "measured.log").read_text().splitlines()]
    anchors = [line for line in lines if "," not in line[2]]
    assert sorted((line[0], line[2]) for line in anchors) == [
        (f"conv12/{name}", f"GPU-{index}") for name in ("cudnn_implicit_gemm", "im2win") for index in range(GPUS)
    ]
    # They are no points of the table, which has each point once.
    provenance = json.loads((eight_gpus.folder / RESULTS / "provenance.json").read_text())
    assert len(provenance["points"]) == len(lines) - len(anchors) == 3
    assert len(provenance["anchors"]) == 2 * GPUS
    assert "### How much the GPUs of a host differ" in (eight_gpus.folder / RESULTS / "report.md").read_text()
    assert "Nothing to be done" in eight_gpus.ran(f"{RESULTS}/report.md", *PAPER)


@pytest.mark.slow
def test_a_hundred_thousand_points_are_planned(real_checkout: Checkout) -> None:
    started = time.perf_counter()
    output = real_checkout.ran("-n", "--config", "cluster=example", f"batch={batches(100_000)}")
    jobs = int(next(line.split()[1] for line in output.splitlines() if line.startswith("measure ")))
    assert 5000 < jobs < 20_000
    # 20 s on two idle cores; others may be at work there.
    assert time.perf_counter() - started < 120
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2e6  # kB

"""Whole networks as jobs: what is planned, and which rows still hold; and their pipeline on the CPU."""

from __future__ import annotations

import copy
import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from analysis.table.files import write_json
from tests.workflow.conftest import Checkout
from workflow import models as program
from workflow.experiment.catalog import Catalog
from workflow.experiment.errors import BadValueError, ConfigFileError, GpuError, RequestError
from workflow.experiment.request import resolve
from workflow.experiment.sweep import Selection, Sweep
from workflow.jobs import code, models
from workflow.jobs.models import Job, Models
from workflow.jobs.run import Run
from workflow.machine.devices import Gpu
from workflow.machine.settings import SPOILING

H100 = Gpu(0, "GPU-a", "NVIDIA H100 80GB HBM3", "sm_90a")


def planned(conf: Catalog, **axes: list[str]) -> dict[Job, list[tuple[int, str]]]:
    return models.plan(Sweep(conf, Selection("models", axes)))


def test_a_network_is_timed_without_what_would_spoil_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []

    def look() -> list[Gpu]:
        seen.append(set(os.environ) & set(SPOILING))
        return []

    monkeypatch.setattr(program, "find_gpus", look)
    for name in SPOILING:
        monkeypatch.setenv(name, "1")
    words = {"selection": '{"experiment": "models"}', "suite": "resnet50", "backend": "pytorch"}
    words |= {"folder": str(tmp_path / "nvidia-test"), "output": str(tmp_path / "run-1.json")}
    assert program.main([word for name, value in words.items() for word in (f"--{name}", value)]) == 1
    assert seen == [set()]


def test_the_experiment(conf: Catalog) -> None:
    every = planned(conf)
    assert not Sweep(conf, Selection("models", {})).points
    assert every[Job("resnet50", "im2win")] == [
        *((1, mode) for mode in ("eager", "graph")),
        *((64, mode) for mode in ("eager", "graph", "compile")),
    ]
    assert {batch for batch, _ in every[Job("vocoder", "pytorch")]} == {1, 16}
    assert {job.backend for job in every if job.suite == "vgg16"} == {
        *("pytorch", "pytorch_legacy", "pytorch_channels_last", "pytorch_tf32", "pytorch_tf32_channels_last"),
        *("pytorch_folded", "pytorch_tf32_folded", "im2win", "im2win_fused"),
    }


def test_a_part_of_it(conf: Catalog) -> None:
    part = planned(conf, suite=["resnet50", "vgg16"], batch=["4"])
    assert {job.suite for job in part} == {"resnet50", "vgg16"}
    assert part[Job("vgg16", "im2win")] == [(4, "eager"), (4, "graph")]
    # One that the experiment does not list is timed as those of its first list.
    other = planned(conf, suite=["resnext50_32x4d"])
    assert other[Job("resnext50_32x4d", "im2win")] == [(1, "eager"), (1, "graph"), (64, "eager"), (64, "graph")]


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"algorithm": "im2win"}, "experiment models times whole networks, and algorithm= does not go with it"),
        ({"suite": "apnet"}, "suite apnet does not say how its model is made"),
        ({"suite": "paper_table"}, "suite paper_table does not say how its model is made"),
        ({"batch": "0"}, "batch is 0"),
    ],
)
def test_mistakes(conf: Catalog, axes: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(BadValueError) as caught:
        Run(resolve({"experiment": "models", "results": str(tmp_path), **axes}, lambda: [H100], known=conf))
    assert said in str(caught.value)


def test_without_a_gpu_it_says_so_before_any_job(conf: Catalog) -> None:
    with pytest.raises(GpuError, match="experiment models measures on an NVIDIA GPU, and none was found"):
        resolve({"experiment": "models"}, list, known=conf)


@pytest.mark.parametrize("kind", ["backend", "mode"])
def test_an_unknown_name_in_the_file(conf: Catalog, kind: str) -> None:
    changed = copy.deepcopy(conf)
    changed.groups["experiment"]["models"]["models"][0][kind].append("im2win_fused_pilogue")
    with pytest.raises(ConfigFileError, match=rf"conf/experiment/models.yaml: unknown {kind} 'im2win_fused_pilogue'"):
        planned(changed)


def stored(sweep: Sweep, job: Job, passes: list[tuple[int, str]], **changes: Any) -> dict[str, Any]:
    rows = [{"row": {"batch": n, "mode": mode, "status": "ok"}, "environment": {"device": {}}} for n, mode in passes]
    return {"identity": models.identity(sweep, job), "rows": rows} | changes


def test_only_what_does_not_hold_is_asked_for(conf: Catalog, tmp_path: Path) -> None:
    config = {"experiment": "models", "suite": "resnet50", "batch": "64", "results": str(tmp_path)}
    request = resolve(config, lambda: [H100], known=conf)
    assert request.sweep
    sweep, job = request.sweep, Job("resnet50", "im2win")
    folder = tmp_path / request.device / job.path
    passes = planned(conf, suite=["resnet50"], batch=["64"])[job]

    def number() -> str:
        return next(Path(file).stem for file in Models(request).files if f"{folder}/" in file)

    assert number() == "run-1"
    assert len(Models(request).missing()) == len(Models(request).files) == 9
    write_json(folder / "run-1.json", stored(sweep, job, passes))
    assert number() == "run-1"
    assert len(Models(request).missing()) == 8
    # Of more than is asked for it holds too; of less, failed or of other sources it does not.
    write_json(folder / "run-1.json", stored(sweep, job, [*passes, (1, "eager")]))
    assert number() == "run-1"
    fewer = stored(sweep, job, passes[:-1])
    failed = stored(sweep, job, passes)
    failed["rows"][0]["row"]["status"] = "failed"
    older = stored(sweep, job, passes, identity=models.identity(sweep, job) | {"source_hash": "another"})
    for number_of_run, document in enumerate((fewer, failed, older), start=1):
        write_json(folder / f"run-{number_of_run}.json", document)
        assert number() == f"run-{number_of_run + 1}"
    (folder / "run-3.json").write_text("{cut")
    assert number() == "run-4"


def test_a_package_that_was_not_there_is_tried_again_once_it_is(conf: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep, job = Sweep(conf, Selection("models", {})), Job("resnet50", "pytorch")
    document = stored(sweep, job, [(1, "eager")])
    document["rows"][0] |= {"environment": {}}
    for there in (None, "a package"):
        monkeypatch.setattr(models, "find_spec", lambda name, there=there: there)
        assert len(models.kept(document, models.identity(sweep, job))) == (there is None)


def test_ours_rests_on_the_kernels_and_pytorchs_does_not(conf: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: code.backend_hash(conf, name) for name in ("pytorch", "im2win", "im2win_strict")}
    assert len(set(before.values())) == 3
    assert json.loads(code.current_sources(conf))["backends"].items() >= before.items()
    original = code.source_hash
    monkeypatch.setattr(
        code,
        "source_hash",
        lambda module, programs: original(module, programs) + ("x" if "tensor_core" in module else ""),
    )
    assert code.backend_hash(conf, "pytorch") == before["pytorch"]
    assert code.backend_hash(conf, "im2win") != before["im2win"]


def test_two_jobs_at_once_on_each_gpu(conf: Catalog) -> None:
    one = Models(resolve({"experiment": "models"}, lambda: [H100], known=conf))
    four = Models(resolve({"experiment": "models"}, lambda: [H100] * 4, known=conf))
    assert [one.threads(cores) for cores in (None, 1, 16)] == [1, 1, 8]
    assert four.threads(64) == 8


EXPERIMENT = """
defaults:
  - /schema/experiment@_here_
  - _self_

name: small_models
device: cpu
protocol: [end_to_end]
models: [{suite: [small], batch: [2, 13], backend: [pytorch, im2win], mode: [eager, graph]}]
sampling: {warmup_seconds: 0.0, min_samples: 3, max_samples: 3, max_seconds: 0.1, quiet_seconds: 0.0}
compare_errors: false
redraw_archives: false
"""
SUITE = """
defaults:
  - /schema/suite@_here_
  - _self_

name: small
network: {model: 'small.py:Small', inputs: ['3,12,10']}
counts: {ic3ih12iw10oc4kh3kw3: 1}
"""
NETWORK = """
import torch

class Small(torch.nn.Conv2d):
    def __init__(self):
        super().__init__(3, 4, 3)

    def forward(self, x):
        if x.shape[0] == 13 and x.dtype == torch.float32:
            raise RuntimeError("no batch of 13")
        return super().forward(x)
"""


def test_the_pipeline(checkout: Checkout) -> None:
    """Measured for real; what failed is measured again, what holds is not; archived beside another experiment."""
    folder, config = checkout.folder, ("--config", "experiment=small_models")
    (folder / "conf/experiment/small_models.yaml").write_text(EXPERIMENT)
    (folder / "conf/suite/small.yaml").write_text(SUITE)
    (folder / "small.py").write_text(NETWORK)
    said = checkout.ran(*config)
    assert "failed: small with pytorch (batch 13 eager): RuntimeError: no batch of 13" in said
    table = folder / "results/cpu/models.csv"

    def rows() -> dict[tuple[str, ...], dict[str, str]]:
        with table.open() as file:
            return {(row["backend"], row["batch"], row["mode"]): row for row in csv.DictReader(file)}

    first = rows()
    assert len(first) == 8
    assert {row["status"] for row in first.values() if row["mode"] == "graph"} == {"unsupported"}
    assert {key: row["status"] for key, row in first.items() if row["mode"] == "eager"} == {
        ("pytorch", "2", "eager"): "ok",
        ("pytorch", "13", "eager"): "failed",
        ("im2win", "2", "eager"): "ok",
        ("im2win", "13", "eager"): "failed",
    }
    assert "## Whole networks" in (folder / "results/cpu/report.md").read_text()

    (folder / "small.py").write_text(NETWORK.replace("== 13", "== 14"))
    checkout.ran("results/cpu/models.csv", *config)
    second = rows()
    assert {row["status"] for row in second.values()} == {"ok", "unsupported"}
    kept = [key for key in first if key[1] == "2"]
    assert [first[key] for key in kept] == [second[key] for key in kept]
    assert "Nothing to be done" in checkout.ran("results/cpu/models.csv", *config)

    assert "0 rows and 8 of whole networks copied" in checkout.ran("archive", *config)
    # The stand-in for measuring is on this machine, too.
    name = "__import__('workflow.machine.provenance').machine.provenance.cpu_name()"
    checkout.replace("workflow/harness/worker.py", '"Stand-in"', name)
    checkout.ran("archive", "--config", "experiment=tiny", "layer=odd_window", "algorithm=cpu_torch")
    assert not table.exists()  # of the experiment that was run last alone
    archived = folder / "analysis/archive/cpu"
    assert len((archived / "models.csv").read_text().splitlines()) == 9
    provenance = json.loads((archived / "provenance.json").read_text())
    assert len(provenance["models"]) == 8
    assert provenance["points"]
    used = {one["environment"] for one in provenance["models"]}
    assert used <= set(range(len(provenance["environments"])))


def test_no_request_error_is_left_to_a_traceback(conf: Catalog) -> None:
    with pytest.raises(RequestError):
        models.network(conf, "tiny")

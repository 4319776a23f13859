"""The keys of --config: what a run is, and what is refused."""

from __future__ import annotations

import copy
import gzip
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from analysis.table import archive as table
from kernels.problem import ConvProblem
from tests.shared import known_conf
from workflow.experiment import catalog
from workflow.experiment.catalog import ROOT
from workflow.experiment.errors import (
    BadArchiveError,
    BadProblemError,
    BadValueError,
    GpuError,
    RequestError,
    UnknownKeyError,
    UnknownNameError,
)
from workflow.experiment.request import Request, resolve
from workflow.experiment.sweep import Selection, Sweep
from workflow.jobs.kernels import Kernels
from workflow.jobs.run import Run
from workflow.machine.devices import Gpu

H100 = "NVIDIA H100 80GB HBM3"
CONF = known_conf()
GPUS = [Gpu(0, "GPU-a", H100, "sm_90a"), Gpu(1, "GPU-b", H100, "sm_90a"), Gpu(2, "GPU-c", "NVIDIA A100", "sm_80")]


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    """A folder with one archive, of one row."""
    row: dict[str, Any] = dict.fromkeys(table.COLUMNS)
    row |= {"experiment": "paper", "suite": "paper_table", "protocol": "end_to_end", "numerics": "strict_fp32"}
    row |= {"batch": 64, "layer": "conv1", "algorithm": "im2win", "status": "ok", "reason": "", "stop_reason": ""}
    problem = ConvProblem.from_layer(CONF.get("layer", "conv1"), 64)
    row |= {"tflops": problem.flops / 1e9, "tensor_bytes": problem.tensor_bytes}
    row |= {"time_ms": 1.0, "time_ms_low": 1.0, "time_ms_high": 1.0, "samples": 2, "source_hash": "0"}
    key = {column: row[column] for column in table.KEY}
    samples = [{**key, "sample": index, "time_ms": 1.0} for index in range(2)]
    point = {column: row[column] for column in table.POINT_KEY} | {"environment": 0, "status": "ok"}
    point["config"] = {"layer": CONF.get("layer", "conv1")}
    device = {"name": H100, "slug": "nvidia-h100-80gb-hbm3", "kind": "cuda"}
    provenance = {"device": device, "environments": [{}], "points": [point]}
    table.write(tmp_path / "archive" / "h100", [row], samples, provenance)
    return tmp_path / "archive"


def make(gpus: list[Gpu], archives: Path = Path("none"), **config: object) -> Request:
    return resolve(config, lambda: gpus, archives, CONF)


def test_a_machine_with_gpus(archives: Path) -> None:
    made = make(GPUS, archives)
    assert (made.experiment, made.backend, made.device) == ("paper", "cuda", "nvidia-h100-80gb-hbm3")
    assert [gpu.index for gpu in made.gpus] == [0, 1]
    assert "not on 2 (NVIDIA A100)" in made.note
    assert Kernels(made).architectures == ["sm_90a"]
    assert "im2win_transform" in Kernels(made).programs
    assert list(made.archives) == ["h100"]


def test_only_the_programs_of_the_chosen_algorithms_are_compiled() -> None:
    assert sorted(Kernels(make(GPUS, algorithm="im2win,im2col_cublas")).programs) == ["im2win", "im2win_transform"]


def test_a_small_request_is_small_work(archives: Path) -> None:
    """What sets an axis compiles nothing else and draws no archive; without one everything is compiled and drawn."""
    for axis in ({"layer": "conv1"}, {"algorithm": "cpu_torch"}, {"batch": "2"}, {"suite": "tiny"}):
        made = make([], archives, **axis)
        assert (made.archives, Kernels(made).programs, Kernels(made).reports) == ({}, [], [])
        assert "archived" not in made.note
        assert Run(made).datasets.folders == {"cpu": "results/cpu"}
    assert make(GPUS, archives, batch=64).archives == {}
    whole = make([], archives, results="elsewhere", experiment="auto")
    assert list(whole.archives) == ["h100"]
    assert "drawing archived GPU measurements too" in whole.note
    assert len(Kernels(whole).reports) == 3 * len(Kernels(whole).programs) > 50


def test_layers_that_no_suite_lists() -> None:
    known = copy.deepcopy(CONF)
    mine = {**known.groups["layer"]["conv1"], "name": "mine"}
    known.groups["layer"]["mine"] = mine
    known.groups["suite"]["own"] = catalog.own_suite(["mine"])  # as catalog.read adds it

    def points(**config: str) -> list[tuple[str, str]]:
        sweep = resolve({"algorithm": "cpu_torch", **config}, list, known=known).sweep
        assert sweep is not None
        return [(point.suite, point.layer) for point in sweep.points.values()]

    assert points(layer="mine") == points(suite="own") == [("own", "mine")]
    assert points(layer="mine,conv2") == [("paper_table", "conv2"), ("own", "mine")]
    assert {suite for suite, _ in points()} == {"paper_table"}
    with pytest.raises(
        UnknownNameError, match="(?s)unknown layer 'mine' in suite tiny.*mine is in suite own: add suite="
    ):
        points(layer="mine", suite="tiny")


def test_layers_as_descriptors() -> None:
    def points(**config: str) -> list[tuple[str, str, int]]:
        sweep = resolve({"algorithm": "cpu_torch", **config}, list, known=CONF).sweep
        assert sweep is not None
        found = [(point.suite, point.layer, point.batch) for point in sweep.points.values()]
        # The programs that the rules start expand it again.
        again = Sweep(CONF, Selection.from_json(sweep.selection.to_json()))
        assert found == [(point.suite, point.layer, point.batch) for point in again.points.values()]
        return found

    mine = "ic64ih14oc8kh3ph1"
    assert points(layer="ic64ih14iw14oc8oh14kh3dh0") == [("own", mine, 1)]
    assert points(layer=f"{mine},conv2") == [("paper_table", "conv2", 1), ("own", mine, 1)]
    assert points(layer=mine, suite="own") == points(layer=f"{mine},ic64ih14oc8oh14kh3") == [("own", mine, 1)]
    assert points(layer=f"mb4{mine}") == points(layer=f"mb4{mine}", batch="4") == [("own", mine, 4)]
    for config, error, said in (
        ({"layer": "ic64ih14oc8kh3pq1"}, BadProblemError, "layer ic64ih14oc8kh3pq1: nothing is known that begins"),
        ({"layer": "ic64id4ih14oc8kh3"}, BadProblemError, "three dimensions are not supported"),
        ({"layer": f"mb4{mine}", "batch": "4,8"}, BadValueError, f"mb4{mine} has mb4, but the batch is 4,8"),
        ({"layer": f"mb4{mine},mb2ic1ih3oc1kh1"}, BadValueError, "has mb4, but the batch is 4,2; leave out mb"),
        ({"layer": mine, "suite": "tiny"}, UnknownNameError, "(?s)unknown layer .* in suite tiny.*leave out suite="),
    ):
        with pytest.raises(error, match=said):
            points(**config)


def test_a_gpu_that_is_too_old() -> None:
    with pytest.raises(GpuError, match=r"need sm_80 \(Ampere\) or later, and Tesla T4 is sm_75"):
        make([Gpu(0, "GPU-t", "Tesla T4", "sm_75")])
    assert Kernels(make([Gpu(0, "GPU-n", "NVIDIA B200", "sm_100")])).architectures == ["sm_100"]


def test_an_old_gpu_beside_a_good_one() -> None:
    old = Gpu(0, "GPU-t", "Tesla T4", "sm_75")
    made = make([old, *GPUS[1:]])
    assert [gpu.index for gpu in made.gpus] == [1]
    with pytest.raises(GpuError, match=r"choose another GPU with gpu=INDEX \(1 \(NVIDIA H100"):
        make([old, *GPUS[1:]], gpu="0")


def test_a_gpu_beside_a_pytorch_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow.experiment.gpus.find_gpus", lambda: GPUS)
    monkeypatch.setattr("workflow.experiment.gpus.pytorch_without_cuda", lambda: "2.13.0+cpu")
    with pytest.raises(GpuError, match=r"0 \(NVIDIA H100.* is here, but PyTorch 2.13.0\+cpu was built without CUDA"):
        resolve({}, known=CONF)
    assert resolve({"experiment": "tiny"}, known=CONF).backend == "cpu"


def test_a_machine_without() -> None:
    made = make([])
    assert (made.experiment, made.backend, made.device, made.gpus) == ("paper_cpu", "cpu", "cpu", ())
    assert "\n" not in made.note
    assert "No NVIDIA GPU was found" in made.note
    assert "batch 1" in made.note
    assert Kernels(made).architectures == ["sm_80", "sm_90a", "sm_120"]
    assert {"ceilings", "direct", "im2win"} <= set(Kernels(made).programs)


def test_a_cluster_is_planned_for_without_its_gpu() -> None:
    made = make([], cluster="example")
    assert (made.experiment, made.backend, made.device, made.gpu_model) == ("paper", "cuda", GPUS[0].slug, "h100")
    assert Kernels(made).architectures == ["sm_90a"]
    # The GPU at hand does not matter.
    assert make(GPUS[2:], cluster="example").device == made.device
    other = make([], cluster="example", gpu_model="a100")
    assert (other.device, Kernels(other).architectures) == ("nvidia-a100-sxm4-80gb", ["sm_80"])


def test_a_cluster_measures_the_cpu_without_asking_for_a_gpu() -> None:
    made = make([], cluster="example", experiment="tiny")
    assert (made.backend, made.device, made.gpus, made.gpu_model) == ("cpu", "cpu", (), "")
    assert make([], cluster="example", experiment="tiny", gpu_model="a100").gpu_model == "a100"


def test_so_many_gpus_of_one_model() -> None:
    config: dict[str, Any]
    for config, count in (({}, 2), ({"gpus": 1}, 1), ({"gpus": "2"}, 2)):
        assert resolve(config, lambda: GPUS, Path("none"), CONF).gpus == tuple(GPUS[:count])
    for config, said in (
        ({"gpus": 3}, "gpus is 3; the GPUs of one model on this machine are: 0 .*, 1 "),
        ({"gpus": 0}, "gpus is 0; it must be a positive whole number"),
        ({"gpus": 1, "gpu": 0}, "leave out one of them"),
        ({"gpus": 1, "experiment": "tiny"}, "gpus= does not go with experiment tiny"),
        ({"gpus": 1, "cluster": "example"}, "with cluster= choose by gpu_model="),
    ):
        with pytest.raises(RequestError, match=said):
            resolve(config, lambda: GPUS, Path("none"), CONF)


def test_values_come_as_snakemake_reads_them() -> None:
    made = make(GPUS, gpu=2, batch="1,64", layer=["conv1", "conv2"], algorithm="direct, direct", results="elsewhere")
    assert made.device == "nvidia-a100"
    assert made.results == "elsewhere"
    assert made.sweep is not None
    assert len(made.sweep.points) == 4


def test_archives_alone_measure_nothing(archives: Path) -> None:
    made = make([], archives, archive="h100")
    assert made.sweep is None
    assert (made.experiment, made.device, Kernels(made).architectures, Kernels(made).programs) == ("", "", [], [])
    assert list(make([], archives, archive=f"{archives}/h100").archives) == ["h100"]


def test_archives_are_compared_in_a_folder_of_their_own(archives: Path, tmp_path: Path) -> None:
    both = f"{archives}/h100,{shutil.copytree(archives / 'h100', tmp_path / 'another')}"
    assert Run(make([], archives, archive="h100")).datasets.compared == []
    made = Run(make([], archives, archive=both, results="drawn"))
    assert "drawn/archive/comparison/figures/tflops.svg" in made.datasets.compared
    assert set(made.datasets.compared) <= set(made.everything)
    assert Run(make(GPUS, archives)).datasets.compared == []
    same = shutil.copytree(archives / "h100", tmp_path / "elsewhere" / "h100")
    with pytest.raises(BadArchiveError, match="into one folder, h100"):
        make([], archives, archive=f"h100,{same}")
    for name in ("comparison", "a{1}", "a=b"):
        with pytest.raises(BadArchiveError, match="rename it"):
            make([], archives, archive=shutil.copytree(same, tmp_path / name))


@pytest.mark.parametrize(
    ("config", "gpus", "error", "named"),
    [
        ({"layr": "conv1"}, [], UnknownKeyError, ["key 'layr'", "did you mean layer?", "algorithm", "archive"]),
        ({"layers": "conv1"}, [], UnknownKeyError, ["key 'layers'", "did you mean layer?"]),
        ({"experiment": "papr"}, [], UnknownNameError, ["experiment 'papr'", "did you mean paper?", "auto", "tiny"]),
        ({"experiment": "paper,tiny"}, [], BadValueError, ["experiment is paper,tiny", "one value"]),
        ({"layer": None}, [], BadValueError, ["layer has an empty value"]),
        ({"layer": "conv1,"}, [], BadValueError, ["layer has an empty value"]),
        ({"container": "none.sif"}, [], BadValueError, ["container is none.sif", "no such file", "docker://"]),
        ({"results": "a{b}"}, [], BadValueError, ["results is a{b}"]),
        ({"experiment": "paper"}, [], GpuError, ["experiment paper", "none was found", "paper_cpu"]),
        ({"cluster": "exmple"}, [], UnknownNameError, ["cluster 'exmple'", "did you mean example?"]),
        ({"cluster": "example", "gpu_model": "h10"}, [], GpuError, ["gpu_model 'h10'", "did you mean h100?", "a100"]),
        ({"cluster": "example", "gpu": 0}, GPUS, GpuError, ["gpu=", "gpu_model="]),
        ({"gpu_model": "h100"}, GPUS, GpuError, ["cluster="]),
        ({"gpu": 7}, GPUS, GpuError, ["no GPU 7", f"0 ({H100})", "2 (NVIDIA A100)"]),
        ({"gpu": 0}, [], GpuError, ["no GPU 0", "none"]),
        ({"gpu": "first"}, GPUS, GpuError, ["gpu is first", "0 ("]),
        ({"gpu": "0,2"}, GPUS, GpuError, ["different models", H100, "NVIDIA A100"]),
        ({"gpu": 0, "experiment": "tiny"}, GPUS, GpuError, ["gpu=0", "experiment tiny", "CPU"]),
        ({"algorithm": "im2win"}, [], RequestError, ["'im2win' runs on cuda", "No NVIDIA GPU was found", "cpu_im2win"]),
        ({"archive": "h200"}, [], BadArchiveError, ["archive 'h200'", "did you mean h100?", "all"]),
        ({"archive": "h100", "layer": "conv1"}, [], BadValueError, ["archive=", "layer="]),
    ],
)
def test_refused(
    archives: Path, config: dict[str, object], gpus: list[Gpu], error: type[RequestError], named: list[str]
) -> None:
    with pytest.raises(error) as caught:
        make(gpus, archives, **config)
    for text in named:
        assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 8


def damage(archives: Path, file: str, length: int | None) -> None:
    path = archives / "h100" / file
    if length is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:length])


@pytest.mark.parametrize("file", ["measurements.csv", "samples.csv.gz", "provenance.json"])
@pytest.mark.parametrize("length", [None, 40])
def test_a_damaged_archive(archives: Path, file: str, length: int | None) -> None:
    damage(archives, file, length)
    with pytest.raises(BadArchiveError, match=f"h100/{file}"):
        make([], archives, archive="all")


def test_a_damaged_archive_is_found_before_measuring_too(archives: Path) -> None:
    damage(archives, "measurements.csv", 40)
    with pytest.raises(BadArchiveError, match="measurements.csv"):
        make(GPUS, archives)


def test_samples_that_disagree(archives: Path) -> None:
    path = archives / "h100" / "samples.csv.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(lines[:-1])))
    with pytest.raises(BadArchiveError, match="samples"):
        make([], archives, archive="h100")


def test_planning_needs_neither_pytorch_nor_cuda() -> None:
    program = """
import sys
for name in ("torch", "cuda"):
    sys.modules[name] = None
from workflow.experiment.request import resolve
from workflow.jobs.code import analysis_hash, current_sources
from workflow.jobs.run import Run
run = Run(resolve({"experiment": "tiny"}, list))
current_sources(run.request.catalog), analysis_hash(), run.everything, run.measurements.files
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)

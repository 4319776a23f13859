"""What the rules are told of a request: the files and what a job asks for."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from analysis.charts.style import FORMATS
from analysis.compare import FIGURES as SIDE_BY_SIDE
from analysis.figures import FIGURES as DRAWN
from tests.shared import known_conf
from tests.workflow.conftest import Checkout
from workflow.experiment.catalog import ROOT
from workflow.experiment.errors import ResultError
from workflow.experiment.request import resolve
from workflow.jobs.datasets import COMPARED, FIGURE_LABELS, FIGURES
from workflow.jobs.run import Run
from workflow.machine.devices import Gpu

CONF = known_conf()
H100 = Gpu(0, "GPU-a", "NVIDIA H100 80GB HBM3", "sm_90a")
POINT = "tiny/strict_fp32/batch2/odd_window/cpu_torch"


def run(results: Path, **config: object) -> Run:
    return Run(resolve({"experiment": "tiny", "results": str(results), **config}, list, known=CONF))


def test_threads(tmp_path: Path) -> None:
    threads = run(tmp_path).measurements.threads
    assert threads(8) == 8
    assert threads(None) == 1


def test_a_job_on_a_cluster_asks_for_one_gpu_by_name(tmp_path: Path) -> None:
    sixteen = ",".join(CONF.get("experiment", "paper")["algorithm"][:16])
    made = run(tmp_path, experiment="paper", cluster="example", algorithm=sixteen, numerics="strict_fp32").measurements
    assert made.resources == {"mem_mb": 32000, "slurm_partition": "gpu", "gpu_model": "h100"}
    assert (made.threads(64), made.at_once) == (4, 4)
    # Sixteen algorithms at ten seconds, of which three minutes have eighteen.
    assert made.groups and len(made.groups.members) == 12
    group = next(iter(made.groups.members))
    assert (made.size(group), made.minutes(group)) == (16, 16)
    assert made.cubins(group)[0] == f"{tmp_path}/kernels/sm_90a/direct.cubin"
    assert run(tmp_path).measurements.resources["gpu"] == 0


def test_a_model_has_a_partition_and_options_of_its_own(tmp_path: Path) -> None:
    catalog = copy.deepcopy(CONF)
    own = {"type": "a100-sxm", "partition": "other", "account": "us", "qos": "long", "constraint": "a&b"}
    catalog.groups["cluster"]["example"]["gpus"]["a100"] |= own | {"options": "--reservation=ours"}
    config = {"cluster": "example", "gpu_model": "a100", "results": str(tmp_path)}
    made = Run(resolve({"experiment": "paper", **config}, list, known=catalog)).measurements
    assert made.resources == {
        "mem_mb": 32000,
        "slurm_partition": "other",
        "slurm_account": "us",
        "qos": "long",
        "constraint": "a&b",
        "slurm_extra": "--gpus-per-node=a100-sxm:1 --reservation=ours",
    }
    asked_for_no_gpu = Run(resolve({"experiment": "tiny", "cluster": "example"}, list, known=catalog)).measurements
    assert asked_for_no_gpu.resources == {"mem_mb": 8000, "slurm_partition": "gpu"}


def test_on_one_host_processes_of_several_jobs_take_turns(tmp_path: Path) -> None:
    config = {"experiment": "paper", "results": str(tmp_path)}
    one = Run(resolve(config, lambda: [H100], known=CONF)).measurements
    four = Run(resolve(config, lambda: [H100] * 4, known=CONF)).measurements
    assert one.groups and {len(group) for group in one.groups.members.values()} == {1}
    assert [one.threads(cores) for cores in (None, 2, 16, 32, 100)] == [1, 1, 1, 2, 5]
    assert [four.threads(cores) for cores in (16, 32, 64, 100)] == [1, 1, 1, 2]
    assert one.at_once == four.at_once == 1


def test_a_run_that_is_stopped_has_whole_batches_and_suites(tmp_path: Path) -> None:
    """The batch of the figures first, then the experiment's further ones as they are listed there."""
    config = {"experiment": "paper", "results": str(tmp_path)}
    made = Run(resolve(config, lambda: [H100], known=CONF)).measurements
    assert made.groups
    found: dict[float, set[tuple[str, int]]] = {}
    for name in made.groups.members:
        point = made.groups.find(name)[0]
        found.setdefault(made.priority(name), set()).add((point.suite, point.batch))
    assert min(found) > 0
    by_priority = [found[priority] for priority in sorted(found, reverse=True)]
    assert by_priority == [{("paper_table", batch)} for batch in (64, 1, 16, 128)] + [{("authors_log", 64)}]


def test_results_are_where_their_point_says(tmp_path: Path) -> None:
    made = run(tmp_path, layer="odd_window", algorithm="cpu_torch")
    assert made.measurements.files == [f"{tmp_path}/cpu/points/tiny/{POINT}/job-1.json"]
    assert list(made.datasets.folders) == ["cpu"]


def test_only_the_first_point_names_a_job(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="cpu_torch begins no job of this run"):
        run(tmp_path).measurements.cubins(POINT)


def test_figures_are_drawn_anew_when_a_table_beside_changes(tmp_path: Path) -> None:
    """Where there is one: a run's own if it measures what the table is of, an archive's if it has it."""
    config = {"experiment": "paper", "results": str(tmp_path)}
    made = Run(resolve(config, lambda: [H100], known=CONF))
    companions = made.datasets.companion_files(made.request.device)
    assert companions == made.datasets.companions == made.accuracy.files + made.transforms.files
    assert [Path(path).name for path in companions] == ["accuracy.csv", "transform.csv"]
    assert [Path(path).name for path in made.transforms.cubins] == ["im2win_transform.cubin", "im2win.cubin"]
    own = run(tmp_path)
    assert own.datasets.companion_files("cpu") == []
    folder = tmp_path / "archives" / "a-gpu"
    folder.mkdir(parents=True)
    own.request.archives["a-gpu"] = str(folder)
    assert own.datasets.companion_files("archive/a-gpu") == []
    for name in ("accuracy.csv", "transform.csv"):
        (folder / name).touch()
    assert own.datasets.companion_files("archive/a-gpu") == [f"{folder}/accuracy.csv", f"{folder}/transform.csv"]


def test_the_figures_are_those_that_are_drawn() -> None:
    names = [file for name, drawing in DRAWN.items() for file in drawing.layouts(name)]
    drawn = [f"figures/{name}.{suffix}" for name in names for suffix in FORMATS]
    assert sorted(FIGURES) == sorted([*drawn, "figures/captions.json"])
    assert list(FIGURE_LABELS) == list(DRAWN)
    for name in FIGURE_LABELS:
        assert (ROOT / f"workflow/report/{name}.rst").is_file()


def test_the_comparison_is_what_is_written() -> None:
    figures = [f"figures/{name}.{suffix}" for name in SIDE_BY_SIDE for suffix in FORMATS]
    tables = [f"tables/comparison.{suffix}" for suffix in ("csv", "md", "tex")]
    tables += [f"tables/{name}.{suffix}" for name in ("claims", "points") for suffix in ("csv", "md")]
    tables += ["report.md", "report.html"]
    assert sorted(COMPARED) == sorted([*figures, "figures/captions.json", *tables])


def test_nothing_to_tune(checkout: Checkout) -> None:
    """On the CPU, or where only archives are drawn."""
    result = checkout.snakemake("tune", "--config", "experiment=tiny")
    assert result.returncode == 1
    assert "error: nothing to tune: it takes a GPU and an algorithm with tuned_as" in result.stdout
    assert "double '/'" not in result.stdout


def test_an_error_in_a_module_stops_no_other_run(checkout: Checkout) -> None:
    described = (ROOT / "conf/algorithm/cpu_torch.yaml").read_text().replace("cpu_torch", "mine")
    (checkout.folder / "conf/algorithm/mine.yaml").write_text(described.replace("families.cpu", "families.mine"))
    tiny = ("--config", "experiment=tiny", "layer=odd_window")
    for code in (None, "def plan)\n", "from kernels.nothing import plan\n", "\xff"):
        if code:
            (checkout.folder / "kernels/families/mine.py").write_bytes(code.encode("latin-1"))
        checkout.ran("results/sources.json", *tiny, "algorithm=cpu_torch")
        hashes = json.loads((checkout.folder / "results/sources.json").read_text())
        assert "cpu_torch" in hashes["algorithms"] and "mine" not in hashes["algorithms"]
        refused = checkout.snakemake("-n", *tiny, "algorithm=mine").stdout
        assert "Traceback" not in refused
        assert "kernels/families/mine.py" in refused or "kernels.families.mine" in refused

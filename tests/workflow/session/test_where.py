"""Where jobs go: only measurements to a cluster, and a run that would measure elsewhere than planned does not begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow.conftest import Checkout
from workflow.session.slurm import require

SHOW = """
include: "Snakefile"
measuring = {rule.name for rule in workflow.rules if "slurm_partition" in rule.resources}
elsewhere = {rule.name for rule in workflow.rules if rule.name not in workflow._localrules and not rule.norun}
print("measuring", sorted(measuring))
print("elsewhere", sorted(elsewhere))
"""


def test_every_rule_that_does_not_measure_is_local(real_checkout: Checkout) -> None:
    """Those that measure are told by what they ask of the cluster."""
    (real_checkout.folder / "show.smk").write_text(SHOW)
    output = real_checkout.ran("-n", "--snakefile", "show.smk", "--config", "cluster=example")
    found = dict(line.split(" ", 1) for line in output.splitlines() if line.startswith(("measuring", "elsewhere")))
    assert "'measure'" in found["measuring"] and "'ceilings'" in found["measuring"]
    assert found["elsewhere"] == found["measuring"]


def test_jobs_for_a_cluster_do_not_run_on_this_machine(checkout: Checkout) -> None:
    result = checkout.snakemake("--config", "cluster=example", "layer=conv12", "batch=1", "algorithm=direct")
    assert result.returncode == 1
    assert "error: jobs planned for cluster example would run on this machine; add --workflow" in result.stdout
    assert not (checkout.folder / "compiled.log").exists()


def test_a_cluster_must_be_named() -> None:
    with pytest.raises(
        SystemExit, match="error: no cluster is named; add --config cluster=NAME, with NAME one of a, b "
    ):
        require("slurm", "", ["a", "b"])


@pytest.mark.parametrize("dry_run", [("-n",), ()])
def test_a_plan_for_slurm_names_its_cluster(checkout: Checkout, dry_run: tuple[str, ...]) -> None:
    pytest.importorskip("snakemake_executor_plugin_slurm")
    result = checkout.snakemake("--workflow-profile", "slurm", *dry_run, "--config", "experiment=tiny")
    assert result.returncode == 1
    assert "error: no cluster is named; add --config cluster=NAME, with NAME one of example " in result.stdout
    assert "Building DAG" not in result.stdout
    assert result.stdout.count("Using workflow specific profile") == 1


def test_a_machine_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="error: there is no Slurm on this machine .no sbatch, .* on a login node"):
        require("slurm", "a", ["a"])
    require("kubernetes", "a", ["a"])
    for name in ("sbatch", "squeue", "scancel", "sinfo"):
        (tmp_path / name).touch(0o755)
    require("slurm", "a", ["a"])
    require("local", "", ["a"])

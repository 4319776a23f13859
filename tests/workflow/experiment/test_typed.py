"""The keys of --config are what was typed, wherever Snakemake has them from; and the folder of results can be one."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake.cli import parse_config  # what Snakemake makes of the words
from snakemake_interface_executor_plugins.utils import format_cli_arg  # type: ignore[import-untyped]

from tests.workflow.conftest import Checkout
from workflow.experiment.catalog import ROOT
from workflow.experiment.errors import BadValueError, RequestError
from workflow.experiment.folders import results_folder
from workflow.experiment.typed import as_typed, check_once

VALUES = [
    "2026_11_25",
    "3_3",
    "1e3",
    "007",
    "true",
    "no",
    "None",
    "1.50",
    "0x10",
    "a: b",
    "'x'y",
    "~",
    "my layer",
    "k=v",
]


@pytest.mark.parametrize("value", VALUES)
def test_what_was_typed(value: str) -> None:
    words = [f"results={value}", "batch=1,16"]
    assert as_typed(parse_config(words), words) == {"results": value, "batch": "1,16"}
    # As Snakemake hands them to the processes of its jobs, on this host or by Slurm.
    handed = shlex.split(format_cli_arg("--config", words))[1:]
    assert as_typed(parse_config(handed), handed)["results"] == value


def test_lists_and_quotes() -> None:
    words = ["layer=[007, conv1]", "results='2026_11_25'", 'suite="a"', "algorithm="]
    typed = as_typed(parse_config(words), words)
    assert typed == {"layer": ["007", "conv1"], "results": "2026_11_25", "suite": "a", "algorithm": ""}


def test_configuration_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("results: 2026_11_25\nlayer: [007, no]\nbatch: 1_6\n")
    config = {"results": 20261125, "layer": [7, False], "batch": 64}
    typed = as_typed(config, ["batch=64"], [tmp_path / "a.yaml"])
    assert typed == {"results": "2026_11_25", "layer": ["007", "no"], "batch": "64"}
    assert as_typed({"gpu": 1}, []) == {"gpu": 1}


def test_nothing_is_left_out_silently() -> None:
    with pytest.raises(BadValueError, match="results= twice, a and b"):
        as_typed({"results": "b"}, ["results=a", "results=b"])
    for arguments in (
        ["-n", "--config", "results=a", "--config", "layer=conv1"],
        ["--config=results=a", "-C", "layer=conv1"],
        ["-Cresults=a", "--config", "layer=conv1"],
    ):
        with pytest.raises(RequestError, match="--config is given twice"):
            check_once(arguments)
    with pytest.raises(RequestError, match="--configfile is given twice"):
        check_once(["--configfile", "a", "--configfiles", "b", "--config", "layer=conv1"])
    check_once(["--config", "results=a", "--configfile", "b", "-c", "2", "--cores=2", "--conda-prefix", "x"])


def test_folders_that_cannot_be_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    for name, said in (
        ("file", "results is file, but file is a file; name another folder"),
        ("file/below", "results is file/below, but file is a file"),
        ("link", "link is a link to nowhere, which is not there"),
        ("link/below", "link is a link to nowhere"),
        ("loop", "loop is a link to loop"),
        ("/", "not a folder for results alone"),
        ("a{b}", "braces"),
    ):
        with pytest.raises(BadValueError, match=said) as caught:
            results_folder(name)
        assert "\n" not in str(caught.value)
    monkeypatch.chdir(ROOT)
    for name in (".", "kernels", "conf/mine", "analysis/archive", str(ROOT)):
        with pytest.raises(BadValueError, match="not a folder for results alone"):
            results_folder(name)
    assert results_folder("results/of/mine/") == "results/of/mine"
    assert results_folder("~/here") == str(Path.home() / "here")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(BadValueError, match="nothing can be written in the working directory"):
        results_folder("here")


def run(checkout: Checkout, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=checkout.folder, env=checkout.environment(), capture_output=True, text=True, check=False
    )


def test_faults_are_told_before_any_job(checkout: Checkout) -> None:
    (checkout.folder / "file").touch()
    tiny = ("--config", "experiment=tiny")
    for arguments, said in (
        ((*tiny, "results=file"), "results is file, but file is a file"),
        ((*tiny, "results=."), "results is ., which is not a folder for results alone"),
        ((*tiny, "layer=3_3"), "unknown layer '3_3'"),
        ((*tiny, "batch=1e3"), "batch is 1e3; it must be a positive whole number"),
        ((*tiny, "layer=true"), "unknown layer 'true'"),
        ((*tiny, "--config", "results=a"), "--config is given twice"),
    ):
        result = checkout.snakemake(*arguments)
        last = next(line for line in result.stdout.splitlines() if line.startswith("error: "))
        assert said in last
        assert result.returncode == 1
        assert "Traceback" not in result.stdout and "Job " not in result.stdout
    assert not (checkout.folder / "results").exists()


def test_make_figures_takes_config(checkout: Checkout, tmp_path: Path) -> None:
    """With an archive made here: this checkout has none."""
    (checkout.folder / "Makefile").write_text((ROOT / "Makefile").read_text())
    tiny = ("--config", "experiment=tiny", "layer=odd_window", "algorithm=cpu_torch")
    checkout.ran("archive", *tiny)
    make = (
        "make",
        "figures",
        "ENVIRONMENT=active",
        "CORES=2",
        f"PATH={Path(sys.executable).parent}:{os.environ['PATH']}",
    )
    for arguments, folder in (
        ("", "results"),
        ("--config results=2026_11_25", "2026_11_25"),
        ("-C results='a b'", "a b"),
    ):
        planned = run(checkout, *make, f"ARGS=-n {arguments}")
        assert "Drawing the figures of archive/cpu" in planned.stdout + planned.stderr
        assert "Measuring" not in planned.stdout + planned.stderr
        done = run(checkout, *make, f"ARGS={arguments} --until judge_claims")
        assert done.returncode == 0, done.stderr
        assert (checkout.folder / folder / "archive/cpu/claims.md").exists()
        assert "double '/'" not in done.stdout + done.stderr
    one = run(checkout, *make, "ARGS=-n --config archive=nothing")
    assert "unknown archive 'nothing'" in one.stdout + one.stderr

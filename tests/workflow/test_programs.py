"""The small programs: kernel resources, archiving, the lock, measuring by hand."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from workflow import archive, resources
from workflow import compile as compile_program
from workflow.experiment.catalog import CONF, Catalog
from workflow.experiment.errors import RequestError
from workflow.point_app import describe, resolve, with_descriptors


def report(program: str, spills: int) -> dict[str, object]:
    kernel = {"expression": f"{program}<8>", "symbol": "s", "registers": 40, "shared_bytes": 8, "stack_bytes": 0}
    kernel |= {"spill_store_bytes": spills, "spill_load_bytes": 2 * spills, "instructions": {}}
    return {"program": program, "architecture": "sm_90a", "nvrtc": "13.0", "kernels": [kernel], "seconds": 1.0}


def test_resources(tmp_path: Path) -> None:
    for name, spills in (("direct", 0), ("im2win", 4)):
        (tmp_path / f"{name}.json").write_text(json.dumps(report(name, spills)))
    paths = [str(tmp_path / name) for name in ("direct.json", "im2win.json")]
    outputs = ["--csv", str(tmp_path / "r.csv"), "--markdown", str(tmp_path / "r.md")]
    assert resources.main([*outputs, *paths]) == 0
    with (tmp_path / "r.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["program"], row["registers"], row["spill_bytes"]) for row in rows] == [
        ("direct", "40", "0"),
        ("im2win", "40", "12"),
    ]
    text = (tmp_path / "r.md").read_text()
    assert "Registers spill in im2win<8> (sm_90a)." in text
    assert "| direct | direct<8> | sm_90a | 40 |" in text
    assert "No kernel spills" in resources.as_markdown(resources.rows([report("direct", 0)]))


def test_archiving_refuses_what_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert archive.main(["--folder", str(tmp_path), "--archives", str(tmp_path / "archives")]) == 1
    assert "measurements.csv" in capsys.readouterr().err
    assert not (tmp_path / "archives").exists()


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    take = f"from workflow.session.lock import hold; hold({str(tmp_path / 'results')!r})"
    take_twice = f"import subprocess, sys; {take}; sys.exit(subprocess.call([sys.executable, '-c', {take!r}]))"

    def run(program: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program]
        return subprocess.run(command, cwd=CONF.parent, capture_output=True, text=True, check=False)

    refused = run(take_twice)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: another run is at work")
    assert run(take).returncode == 0


def by_hand(*overrides: str) -> DictConfig:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return compose("config", overrides=list(overrides))


def test_a_point_by_hand(conf: Catalog) -> None:
    point = resolve(by_hand("suite=authors_log", "layer=conv4", "batch=8", "protocol.max_samples=7"), conf)
    assert point["layer"]["in_channels"] == 32
    assert point["batch"] == 8
    assert point["protocols"][0]["max_samples"] == 7
    assert point["device"]["kind"] == "cuda"
    assert resolve(by_hand("algorithm=cpu_fft"), conf)["device"]["kind"] == "cpu"


def test_a_size_given_by_hand_is_kept(conf: Catalog) -> None:
    point = resolve(by_hand("suite=authors_log", "layer=conv4", "layer.in_channels=5"), conf)
    assert point["layer"]["in_channels"] == 5


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["layer.stride=0"], "stride is 0"),
        (["layer.kernel_w=999"], "kernel_w is 999"),
        (["batch=0"], "batch is 0"),
        (["numerics=tf32"], "does not offer the numeric class tf32"),
    ],
)
def test_refused_by_hand(conf: Catalog, overrides: list[str], named: str) -> None:
    with pytest.raises(RequestError, match=named):
        resolve(by_hand(*overrides), conf)


def test_layers_by_hand_as_descriptors(conf: Catalog) -> None:
    arguments = ['layer=conv1,mb4ic8ih9oc4oh9_kh3_n"mine"', "algorithm=cpu_torch"]
    assert with_descriptors(arguments, conf) == ["layer=conv1,ic8ih9oc4kh3ph1", "algorithm=cpu_torch", "batch=4"]
    assert with_descriptors(["layer=mb4ic8ih9oc4kh3", "batch=4"], conf) == ["layer=ic8ih9oc4kh3", "batch=4"]
    point = resolve(by_hand("layer=ic8ih9oc4kh3ph1", "algorithm=cpu_torch"), conf)
    assert point["layer"] == conf.get("layer", "ic8ih9oc4kh3ph1")
    for words, said in (
        (["layer=ic8ih9oc4kh3x"], "layer ic8ih9oc4kh3x: nothing is known that begins with 'x'"),
        (["layer=mb4ic8ih9oc4kh3", "batch=1,4"], "has mb4, but the batch is 1,4; leave out mb"),
        (["layer=mb4ic8ih9oc4kh3,mb2ic8ih9oc4kh3"], "has mb4, but the batch is 2; leave out mb"),
    ):
        with pytest.raises(RequestError) as caught:
            with_descriptors(words, conf)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_result_in_one_line() -> None:
    row = {"suite": "tiny", "layer": "odd", "batch": 1, "algorithm": "cpu_fft", "protocol": "end_to_end"}
    row |= {"numerics": "strict_fp32", "status": "failed", "reason": "why"}
    assert describe({"rows": [row]}) == "tiny odd batch 1 cpu_fft end_to_end strict_fp32: failed: why"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("protocol.warmup_seconds=nan", "protocol.warmup_seconds is nan; it must be a number of 0 or more"),
        ("protocol.warmup_seconds=inf", "protocol.warmup_seconds is inf"),
        ("protocol.max_seconds=-1", "protocol.max_seconds is -1.0; it must be a number above 0"),
        ("protocol.min_samples=0", "protocol.min_samples is 0"),
        ("protocol.max_samples=0", "protocol.max_samples is 0; it must be a number of 1 or more"),
        ("numerics.max_error_fro=nan", "numerics.max_error_fro is nan"),
        ("layer.name=../up", "layer.name is ../up; a name may hold letters"),
        (
            "algorithm.module=kernels.families.cup",
            "no file kernels/families/cup.py; did you mean kernels.families.cpu?",
        ),
    ],
)
def test_values_by_hand_that_mean_nothing(conf: Catalog, override: str, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        resolve(by_hand("algorithm=cpu_torch", override), conf)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_program_compiled_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert compile_program.main(["--program", "direct", "--architecture", "compute_90"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("direct for sm_90a: kernels: 2, registers: up to ")
    for file in said.splitlines()[1:]:
        assert Path(file.strip()).stat().st_size > 0
    for arguments, text in (
        (("dirct", "90"), "unknown CUDA program 'dirct'; did you mean direct?"),
        (("direct", "hopper"), "'hopper' is no architecture of a GPU; write it as sm_80"),
        (("direct", "sm_10"), "does not compile for sm_10"),
    ):
        assert compile_program.main(["--program", arguments[0], "--architecture", arguments[1]]) == 1
        assert f"error: {text}" in capsys.readouterr().err.replace("direct.cu ", "")
    (tmp_path / "file").touch()
    assert compile_program.main(["--program", "direct", "--architecture", "90", "--cubin", "file/a.cubin"]) == 1
    assert "file is a file" in capsys.readouterr().err

"""The guides of docs/extending.md, followed to the letter, with each mistake made once."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.workflow.conftest import ROOT, Checkout, pretend_pictures

GUIDE = (ROOT / "docs/extending.md").read_text()


def block(after: str) -> str:
    """The indented text that follows some words of the guide."""
    lines = GUIDE.partition(after)[2].split("\n\n", 1)[1].splitlines(keepends=True)
    end = next(index for index, line in enumerate(lines) if line.strip() and not line.startswith("    "))
    return textwrap.dedent("".join(lines[:end])).strip() + "\n"


LAYER = block("`conf/layer/mine.yaml`")
CLASS = block("`kernels/families/mine.py`")
ALGORITHM = block("`conf/algorithm/mine.yaml`")


def follow(checkout: Checkout, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the guide."""
    words = shlex.split(command)
    words = ["-m", "snakemake", "--cores", "2", *words[1:]] if words[0] == "snakemake" else words[1:]
    return checkout.run([sys.executable, *words])


def refused(checkout: Checkout, config: str, *named: str) -> str:
    """Plan a run, which must end with one error that holds these words, before any job and without a traceback."""
    result = follow(checkout, f"snakemake -n --config {config}")
    said = result.stdout[result.stdout.find("error: ") :]
    assert result.returncode == 1, result.stdout
    assert said.startswith("error: "), result.stdout
    for text in named:
        assert text in said.splitlines()[0], said
    assert "Traceback" not in result.stdout
    assert len(said.splitlines()) <= 9, said
    return said


@pytest.mark.slow
def test_the_guide_to_the_letter(real_checkout: Checkout) -> None:
    folder = real_checkout.folder
    pretend_pictures(real_checkout, "pdf", "png")
    # What else is at work here is no reason to measure for longer.
    real_checkout.replace("conf/experiment/paper_cpu.yaml", "max_seconds: 0.3", "max_seconds: 0.3, quiet_seconds: 0.0")
    (folder / "conf/layer/mine.yaml").write_text(LAYER)
    (folder / "kernels/families/mine.py").write_text(CLASS)
    (folder / "conf/algorithm/mine.yaml").write_text(ALGORITHM)
    (folder / "stand_in").mkdir()
    (folder / "stand_in/sitecustomize.py").write_text(
        "import workflow.machine.devices\nworkflow.machine.devices.find_gpus = lambda: []\n"
    )
    commands = re.findall(r"^    ((?:python -m|snakemake) .*)$", GUIDE, re.MULTILINE)
    assert [command.split(" --")[0] for command in commands] == [
        "snakemake",
        "python -m workflow.point_app algorithm=mine layer=mine batch=1",
        "snakemake",
        "python -m workflow.compile",
    ]
    said = {command: follow(real_checkout, command) for command in commands}
    for command, result in said.items():
        assert result.returncode == 0, f"{command}\n{result.stdout}"
    all_of_the_cpu, by_hand, beside_others, compiled = (result.stdout for result in said.values())
    assert re.search(r"suite own, .*\nlayer .*\nmine ", all_of_the_cpu)
    assert "mine batch 1 mine end_to_end strict_fp32: " in by_hand
    assert "My own way" in beside_others
    assert "direct for sm_90a: kernels: 2, registers: up to " in compiled
    # A small request is small work.
    for text in (all_of_the_cpu, beside_others):
        assert "Compiling" not in text
        assert "archive" not in text
    assert int(re.search(r"^total +(\d+)$", beside_others, re.MULTILINE)[1]) <= 12  # type: ignore[index]


def test_the_mistakes_with_a_layer(checkout: Checkout) -> None:
    folder, mine = checkout.folder, checkout.folder / "conf/layer/mine.yaml"
    schema = "defaults:\n  - /schema/layer@_here_\n  - _self_\n"
    assert schema in LAYER
    mine.write_text(LAYER.replace(schema, ""))
    refused(checkout, "layer=mine", "conf/layer/mine.yaml", "three lines", "/schema/layer@_here_", "_self_")
    mine.write_text(LAYER.replace("/schema/layer", "/schema/suite"))
    refused(checkout, "layer=mine", "conf/layer/mine.yaml", "three lines", "/schema/layer@_here_")
    mine.write_bytes(("# Größe\n" + LAYER).encode("latin-1"))
    refused(checkout, "layer=mine", "conf/layer/mine.yaml", "line 1 is not UTF-8")
    mine.write_text(LAYER)
    shutil.move(mine, mine.with_suffix(".yml"))
    refused(checkout, "layer=mine", "conf/layer/mine.yml", "rename it to mine.yaml")
    mine.with_suffix(".yml").unlink()
    mine.with_name("mine,2.yaml").write_text(LAYER)
    refused(checkout, "layer=conv1", "conf/layer/mine,2.yaml", "a name may hold letters")
    mine.with_name("mine,2.yaml").unlink()
    mine.with_name("007.yaml").write_text(LAYER.replace("name: mine", "name: 007"))
    refused(checkout, "layer=conv1", "conf/layer/007.yaml", "YAML reads 007 as 7", "put it in quotes: '007'")
    mine.with_name("007.yaml").write_text(LAYER.replace("name: mine", "name: '007'"))
    suite = (folder / "conf/suite/tiny.yaml").read_text()
    ours = folder / "conf/suite/ours.yaml"
    for layers, said in (
        ("layers: []", "layers is empty"),
        ("layers:", "layers"),
        ("", "layers is empty"),
        ("layers: [007]", "YAML reads 007 as 7"),
    ):
        ours.write_text(re.sub("layers: .*", layers, suite.replace("name: tiny", "name: ours")))
        refused(checkout, "suite=ours", "conf/suite/ours.yaml", said)
    ours.unlink()
    # What an editor leaves beside the file it works on is nothing.
    mine.write_text(LAYER)
    mine.with_name(".#conv1.yaml").symlink_to("somebody@somewhere.4711")
    for left in ("mine.yaml~", ".mine.yaml.swp", "#mine.yaml#", ".mine.yaml"):
        mine.with_name(left).write_text("half a")
    planned = checkout.ran("-n", "--config", "layer=mine,007", "algorithm=cpu_torch")
    assert "Measuring own/strict_fp32/batch1/007/cpu_torch on cpu (points: 2)" in planned
    said = refused(checkout, "layer=odd_window", "unknown layer 'odd_window' in suite paper_table")
    assert said.splitlines()[-1] == "odd_window is in suite tiny: add suite=tiny"


def test_the_mistakes_with_an_algorithm(gpu_checkout: Checkout) -> None:
    checkout, folder = gpu_checkout, gpu_checkout.folder
    described, module = folder / "conf/algorithm/mine.yaml", folder / "kernels/families/mine.py"
    cuda = ALGORITHM.replace("backend: cpu", "backend: cuda\nprograms: [mine]")
    asked = "algorithm=mine,direct layer=conv8"

    def write(description: str, code: str = CLASS) -> None:
        described.write_text(description)
        module.write_text(code)

    def others_run() -> None:
        assert "conv8/direct" in checkout.ran("-n", "--config", "algorithm=direct", "layer=conv8")

    write(cuda.replace("module: kernels.families.mine", "module: kernels.families.mien"))
    refused(
        checkout, asked, "conf/algorithm/mine.yaml", "kernels/families/mien.py", "did you mean kernels.families.mine?"
    )
    others_run()
    write(cuda)
    said = refused(checkout, asked, "conf/algorithm/mine.yaml", "unknown CUDA program 'mine' in programs")
    assert "kernels/cuda/mine.cu" in said
    others_run()
    (folder / "kernels/cuda/mine.cu").write_text('#include "include/mien.cuh"\n')
    refused(checkout, asked, "CUDA program mine", "kernels/cuda/include/mien.cuh")
    shutil.copy(folder / "kernels/cuda/direct.cu", folder / "kernels/cuda/mine.cu")
    write(cuda, CLASS.replace("def plan(", "def plan)"))
    refused(checkout, asked, "kernels/families/mine.py:17", "correct it")
    others_run()
    write(cuda, CLASS.replace("from kernels.plan ", "from kernels.plans "))
    refused(checkout, asked, "kernels.families.mine imports from kernels/plans.py", "no such file")
    write(cuda, CLASS.replace('@register("mine")', '@register("min")'))
    refused(checkout, asked, "conf/algorithm/mine.yaml", "no class with @register('mine')", "min")
    write(cuda.replace("backend: cuda\n", ""))
    refused(checkout, asked, "conf/algorithm/mine.yaml", "backend: Missing")
    write(cuda.replace("numerics: [strict_fp32]", "numerics: []"))
    refused(checkout, asked, "conf/algorithm/mine.yaml", "numerics is empty")
    write(ALGORITHM)
    refused(checkout, asked, "algorithm 'mine' runs on cpu, but experiment paper measures on cuda")
    write(cuda)
    planned = checkout.ran("-n", "--config", *asked.split())
    assert "Compiling mine for sm_90a" in planned
    assert sorted(set(re.findall(r"Compiling (\w+) for", planned))) == ["ceilings", "direct", "mine"]


def test_names_that_somebody_may_give(checkout: Checkout) -> None:
    """Measured, aggregated and drawn, and nothing to be done the second time."""
    folder = checkout.folder
    names = ["ResNet-conv1", "vgg16.conv3", "my layer", "größe", "a+b", "007", "3_3", "no", "NA"]
    for name in names:
        (folder / f"conf/layer/{name}.yaml").write_text(LAYER.replace("name: mine", f"name: '{name}'"))
    copied = {
        "suite/tiny": ("suite/My-Suite v1.0", {"layers: .*": f"layers: [{', '.join(map(repr, names))}]"}),
        "numerics/strict_fp32": ("numerics/IEEE-32", {}),
        "algorithm/cpu_torch": ("algorithm/My Algo-1.0", {"numerics: .*": "numerics: [IEEE-32]"}),
        "experiment/tiny": (
            "experiment/Tiny+1.0",
            {
                "suite: .*": "suite: [My-Suite v1.0]",
                "numerics: .*": "numerics: [IEEE-32]",
                "algorithm: .*": "algorithm: [My Algo-1.0]",
            },
        ),
    }
    for source, (target, changes) in copied.items():
        text = (folder / f"conf/{source}.yaml").read_text()
        changes = {"^name: .*": f"name: {Path(target).name}", **changes}
        for old, new in changes.items():
            text = re.sub(old, new, text, flags=re.MULTILINE)
        (folder / f"conf/{target}.yaml").write_text(text)
    with (folder / "kernels/families/cpu.py").open("a") as file:
        file.write('\n\nregister("My Algo-1.0")(CpuAlgorithm)\n')
    request = ("--config", "experiment=Tiny+1.0", "results=2026_11_25")
    said = checkout.ran(*request)
    measured = (folder / "measured.log").read_text()
    assert all(f"{name}/My Algo-1.0 1 " in measured for name in names)
    for name in names:
        assert re.search(rf"^{re.escape(name)} ", said, re.MULTILINE), name
    assert "Nothing to be done" in checkout.ran(*request)
    assert (folder / "2026_11_25/cpu/report.html").exists()
    assert not (folder / "20261125").exists()
    assert f"points: {len(names)} ok" in said


def test_architectures_of_an_experiment(checkout: Checkout) -> None:
    checkout.replace("conf/experiment/paper_cpu.yaml", "[sm_80, sm_90a, sm_120]", "[90, sm80, compute_120]")
    planned = checkout.ran("-n", "compile_all")
    assert set(re.findall(r"Compiling direct for (\w+)", planned)) == {"sm_90a", "sm_80", "sm_120"}
    checkout.replace("conf/experiment/paper_cpu.yaml", "[90, ", "[hopper, ")
    refused(checkout, "results=results", "conf/experiment/paper_cpu.yaml", "'hopper'", "sm_90a")

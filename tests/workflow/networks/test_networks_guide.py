"""The commands of docs/networks.md, letter by letter, and a network from the model to the results table."""

from __future__ import annotations

import csv
import re
import shlex
import sys

import pytest

from tests.workflow.conftest import ROOT, Checkout

COMMANDS = re.findall(r"^    ((?:python -m|snakemake) .*)$", (ROOT / "docs/networks.md").read_text(), re.MULTILINE)
#: Instead of torchvision: callables that make a small model.
TORCHVISION = """
from torch import nn


def resnet50():
    return nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1), nn.Upsample(scale_factor=2),
                         nn.ConvTranspose2d(8, 4, 2, 2))


def deeplabv3_resnet50(weights_backbone, aux_loss):
    assert weights_backbone is None and aux_loss is False
    return resnet50()
"""


def program(checkout: Checkout, command: str) -> str:
    """Run `python -m ...`, which must succeed; its output."""
    result = checkout.run([sys.executable, *shlex.split(command)[1:]])
    assert result.returncode == 0, f"{command}\n{result.stdout}"
    return result.stdout


def with_torchvision(checkout: Checkout) -> None:
    folder = checkout.folder / "stand_in" / "torchvision" / "models"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    for name in ("__init__.py", "segmentation.py"):
        (folder / name).write_text(TORCHVISION)


def test_what_the_guide_names() -> None:
    assert len(COMMANDS) == 8
    readme = (ROOT / "README.md").read_text()
    for command in (
        "python -m workflow.network torchvision.models:resnet50 --input 3,224,224",
        COMMANDS[3],
        COMMANDS[6],
    ):
        assert command in COMMANDS
        assert command in readme


@pytest.mark.slow
def test_the_programs_of_the_guide(checkout: Checkout) -> None:
    with_torchvision(checkout)
    resnet, deeplab, by_hand = [command for command in COMMANDS if command.startswith("python")]
    assert "conf/suite/resnet50.yaml: " in program(checkout, resnet)
    assert "arguments: {weights_backbone: null, aux_loss: false}" in (
        program(checkout, deeplab) and (checkout.folder / "conf/suite/deeplabv3_resnet50.yaml").read_text()
    )
    assert "ic64ih14oc8kh3ph1 batch 1 cpu_torch end_to_end strict_fp32: " in program(checkout, by_hand)


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("snakemake")])
def test_the_runs_of_the_guide(gpu_checkout: Checkout, command: str) -> None:
    said = gpu_checkout.ran("-n", *shlex.split(command)[1:])
    assert re.search(r"^measure +\d+$", said, re.MULTILINE), said


@pytest.mark.slow
def test_a_network_from_the_model_to_the_table(checkout: Checkout) -> None:
    with_torchvision(checkout)
    program(checkout, "python -m workflow.network torchvision.models:resnet50 --input 3,16,16 --name mine --batch 2")
    table, beside = "results/cpu/measurements.csv", checkout.folder / "results/cpu/networks.csv"
    checkout.ran(table, "--config", "experiment=tiny", "suite=mine", "algorithm=cpu_torch")
    layers = ["ic3ih16oc8kh7sh2ph3", "ic8ih8oc8kh1"]
    assert checkout.taken() == [f"{layer}/cpu_torch 1" for layer in layers]
    with beside.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["layer"], row["count"], row["unsupported"]) for row in rows] == [
        (layers[0], "1", ""),
        (layers[1], "2", ""),
        ("transposed ic8ih16iw16oc4oh32ow32kh2kw2sh2sw2", "1", "transposed convolution"),
    ]
    # A count changes the table, and measures nothing.
    checkout.replace("conf/suite/mine.yaml", "ic8ih8oc8kh1: 2", "ic8ih8oc8kh1: 5")
    checkout.ran(table, "--config", "experiment=tiny", "suite=mine", "algorithm=cpu_torch")
    assert checkout.taken() == []
    assert "ic8ih8oc8kh1,5," in beside.read_text()
    # A layer that is typed is called by its normal form, and no network.
    checkout.ran(table, "--config", "experiment=tiny", "algorithm=cpu_torch", "layer=ic8ih8iw8oc4oh8kh3")
    assert checkout.taken() == ["ic8ih8oc4kh3ph1/cpu_torch 1"]
    assert "own,end_to_end,strict_fp32,2,ic8ih8oc4kh3ph1,cpu_torch" in (checkout.folder / table).read_text()
    assert not beside.exists()

"""An algorithm that is added by one class and one file of conf/ is measured, drawn and told of under its own name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.workflow.conftest import Checkout, pretend_pictures

CLASS = """
import torch

from kernels.algorithm import Algorithm, register
from kernels.plan import Plan


class MinePlan(Plan):
    def __init__(self, stride):
        self.stride = stride

    def compute(self, x, f, y):
        y.copy_(torch.nn.functional.conv2d(x, f, stride=self.stride))


@register("mine")
class Mine(Algorithm):
    def plan(self, problem, device, kernels, tf32):
        return MinePlan(problem.stride)
"""
DESCRIPTION = """
defaults:
  - /schema/algorithm@_here_
  - _self_

name: mine
module: kernels.families.mine
backend: cpu
numerics: [strict_fp32]
arithmetic: fp32_transformed
about:
  label: My own way
  color: "#123456"
  order: 1
"""


@pytest.mark.slow
def test_an_algorithm_added_by_a_class_and_a_file(real_checkout: Checkout) -> None:
    folder = real_checkout.folder
    pretend_pictures(real_checkout, "pdf", "png")
    (folder / "kernels/families/mine.py").write_text(CLASS)
    (folder / "conf/algorithm/mine.yaml").write_text(DESCRIPTION)
    real_checkout.replace("conf/experiment/tiny.yaml", "cpu_torch", "cpu_torch, mine")
    chosen = ("layer=odd_window,odd_channels", "algorithm=cpu_torch,cpu_im2win,mine")
    said = real_checkout.ran("--config", "experiment=tiny", *chosen)
    assert "My own way" in said  # the summary on the terminal

    results = folder / "results/cpu"
    assert json.loads((results / "points/tiny/tiny/strict_fp32/batch2/odd_window/mine/result.json").read_text())
    for name in ("report.md", "report.html", "guide.md", "tables/tflops.md", "figures/speedup.svg"):
        text = (results / name).read_text()
        assert "My own way" in text or name.endswith(".svg"), name
    drawn = {name: (results / f"figures/{name}.svg").read_text() for name in ("time", "memory_speed", "accuracy")}
    assert all("#123456" in text for text in drawn.values()), [name for name in drawn if "#123456" not in drawn[name]]


def test_the_readme_names_the_rooms_that_there_are() -> None:
    root = Path(__file__).resolve().parents[2]
    listed = (root / "README.md").read_text().partition("## Where things are")[2].partition("A glossary")[0]
    top = ""
    for line in listed.splitlines():
        name = line.split()[0] if line.strip() else ""
        if not name.endswith("/"):
            continue
        top = name if line.startswith("    ") and not line.startswith("      ") else top
        assert (root / (name if name == top else top + name)).is_dir(), line
    rooms = [
        path.parent for path in root.glob("*/*/__init__.py") if path.parts[-3] in ("kernels", "workflow", "analysis")
    ]
    assert [str(room.relative_to(root)) for room in rooms if f"{room.name}/" not in listed] == []

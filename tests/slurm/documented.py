"""The Slurm section of docs/cluster.md, as a user follows it: its file and its commands, letter by letter.

The checkout measures a smaller paper experiment, and only pretends to measure it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.slurm.cluster import TYPES
from tests.slurm.runs import Run
from tests.workflow.conftest import H100, ROOT

A100 = "NVIDIA A100-SXM4-80GB"
#: The steps from the login node to the figures.
SECTION = (ROOT / "docs/cluster.md").read_text().partition("\n## Slurm")[2].partition("\nOnly measurements")[0]
COMMANDS = re.findall(r"^ +((?:snakemake|make) .*--.*|make compare .*)$", SECTION, re.MULTILINE)
#: What NVML says on the node: the GPUs that Slurm gave to the job, of all that the node has.
_NODE = f"""
import os
import workflow.machine.devices as devices

NODE = {{
    "{TYPES["h100"][0]}": devices.Gpu(2, "GPU-h", "{H100}", "sm_90a"),
    "{TYPES["nvidia_a100-sxm4-80gb"][0]}": devices.Gpu(3, "GPU-a", "{A100}", "sm_80"),
}}
devices.find_gpus = lambda: [NODE[index] for index in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if index]
"""


def cluster_file() -> str:
    """The file that the section has the user write."""
    (text,) = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
    return "\n".join(line.removeprefix("   ") for line in text.splitlines()) + "\n"


def follow(run: Run) -> None:
    """Give all commands in their order; each must succeed."""
    folder = run.checkout.folder
    (folder / "conf/cluster/ours.yaml").write_text(cluster_file())
    _make_small(folder / "conf/experiment/paper.yaml")
    (folder / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    (folder / "stand_in").mkdir()
    (folder / "stand_in/sitecustomize.py").write_text(_NODE)
    environment = run.slurm.environment | {"PYTHONPATH": f"{folder}/stand_in{os.pathsep}{folder}"}
    # As on a login node with an environment of conda.
    environment |= {"PATH": f"{Path(sys.executable).parent}:{environment['PATH']}", "ENVIRONMENT": "active"}
    for command in COMMANDS:
        answer = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=900,
        )
        assert answer.returncode == 0, f"{command}\n{answer.stdout}"


def _make_small(paper: Path) -> None:
    text = paper.read_text()
    text = re.sub(
        r"^algorithm:\n(  - .*\n)+", "layer: [conv12]\nalgorithm: [direct, im2col_cublas]\n", text, flags=re.M
    )
    text = re.sub(r"^(extra|anchors):.*\n((?:  | *#).*\n)*", "", text, flags=re.M)
    paper.write_text(re.sub(r"^numerics: .*", "numerics: [strict_fp32]", text, flags=re.M))

"""The recipes of the containers, and what Snakemake makes of an image. No engine is needed, and none is tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import Checkout

ROOT = Path(__file__).resolve().parents[2]
CONTAINERS = ROOT / "workflow/containers"


def commands(text: str) -> list[str]:
    """The commands of a recipe, one by one."""
    body = text.partition("%post")[2] or re.sub(r"^(FROM|COPY).*|^RUN", "", text, flags=re.MULTILINE)
    lines = body.replace("\\\n", " ").replace("&&", "\n").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip() and not line.lstrip().startswith("#")]


def test_the_recipes_install_the_same() -> None:
    docker, apptainer = ((CONTAINERS / name).read_text() for name in ("Dockerfile", "im2win.def"))
    assert commands(docker) == commands(apptainer)
    assert "python -m pip install --no-cache-dir --requirement /requirements.lock" in commands(docker)
    (base,) = re.findall(r"^FROM (\S+)", docker, re.MULTILINE)
    assert re.findall(r"^From: (\S+)", apptainer, re.MULTILINE) == [base]
    python = next(item for item in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"])
    assert base.startswith(python.replace("=", ":"))


def test_the_image_is_the_one_of_every_job(real_checkout: Checkout) -> None:
    (real_checkout.folder / "some.sif").touch()
    (real_checkout.folder / "show.smk").write_text(
        'include: "Snakefile"\nprint("images", {str(rule.container_img) for rule in workflow.rules})\n'
    )
    plan = ("-n", "--snakefile", "show.smk", "--config", "experiment=tiny")
    assert "images {'None'}" in real_checkout.ran(*plan)
    assert "images {'some.sif'}" in real_checkout.ran(*plan, "container=some.sif")


@pytest.mark.parametrize("profile", ["default", "slurm", "kubernetes"])
def test_profiles_repeat_the_settings_of_the_default_one(profile: str) -> None:
    settings = {
        name: yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text()) for name in ("default", profile)
    }
    for key, value in settings["default"].items():
        assert key == "cores" or settings[profile][key] == value

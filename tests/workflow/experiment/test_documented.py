"""The requests that README and docs/ show, word by word, and the page of their keys."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from functools import cache

import pytest

from tests.shared import known_conf
from workflow.experiment import archives
from workflow.experiment.catalog import ROOT
from workflow.experiment.request import KEYS, resolve
from workflow.machine.devices import Gpu

H100 = "NVIDIA H100 80GB HBM3"
CONF = known_conf()
#: Once for all commands: reading all archives takes seconds.
CHECK_ARCHIVE = cache(archives._check_archive)
GPUS = [Gpu(0, "GPU-a", H100, "sm_90a"), Gpu(1, "GPU-b", H100, "sm_90a")]
PAGES = [ROOT / "README.md", ROOT / "docs/running.md", ROOT / "docs/artifact.md", ROOT / "docs/networks.md"]
SHOWN = [
    (page.name, line.strip())
    for page in PAGES
    if page.exists()
    for line in re.findall(r"^ {4}(snakemake .*?--config .*?)(?:  +#.*)?$", page.read_text(), re.MULTILINE)
]


@pytest.mark.parametrize(("page", "command"), SHOWN, ids=str)
def test_what_is_shown_is_what_a_run_takes(page: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_check_archive", CHECK_ARCHIVE)
    words = shlex.split(command)
    config = dict(word.split("=", 1) for word in words[words.index("--config") + 1 :] if "=" in word)
    if "cluster" in config:
        config["cluster"] = "example"  # the one that a reader writes
    if config.get("archive", "").endswith(",DIR"):
        config["archive"] = config["archive"].removesuffix(",DIR")
    if config.get("layer") == "mine":
        return  # docs/extending.md adds it
    assert fields(resolve(config, lambda: GPUS, known=CONF))


def test_the_table_of_keys_has_every_key_and_says_which_take_several() -> None:
    lines = re.findall(r"^\| (`.*) \| (yes|no) \|$", (ROOT / "docs/running.md").read_text(), re.MULTILINE)
    listed = {key: several for line, several in lines for key in re.findall(r"`(\w+)`", line.partition(" | ")[0])}
    assert set(listed) == set(KEYS)
    for key, several in listed.items():
        if several == "no":
            with pytest.raises(Exception, match="takes one value"):
                _two(key)


def _two(key: str) -> None:
    """Ask for two values of a key, beside what it goes with."""
    beside = {"gpu_model": {"cluster": "example"}}.get(key, {})
    resolve(beside | {key: "1,2"}, lambda: GPUS, known=CONF)

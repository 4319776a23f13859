"""The captions beside a folder of figures."""

import json
from pathlib import Path

import pytest

from analysis.frames.captions import read_captions
from analysis.table.errors import ArchiveError


def test_captions_are_those_of_the_figures_that_were_drawn(tmp_path: Path) -> None:
    assert read_captions(tmp_path) == {}
    for name in ("memory", "tflops", "time", "batch"):
        (tmp_path / f"{name}.svg").write_text("<svg/>")
    assert list(read_captions(tmp_path)) == ["tflops", "memory"]  # without captions, the paper's
    told = {"time": "Time.", "tflops": "Speed.", "batch": "Not drawn: one batch.", "roofline": "Not there."}
    (tmp_path / "captions.json").write_text(json.dumps(told))
    assert list(read_captions(tmp_path).items()) == [("time", "Time."), ("tflops", "Speed.")]
    (tmp_path / "captions.json").write_text("[")
    with pytest.raises(ArchiveError, match="captions.json: does not hold"):
        read_captions(tmp_path)

"""The tables beside a results table, and what is drawn of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis import figures
from analysis.frames import speed
from analysis.table import archive as table
from analysis.table import companions

Make = Callable[..., dict[str, Any]]
Build = Callable[..., Path]


def test_the_transform_beside_copies(build: Build, make_row: Make) -> None:
    """Of a table's suite and batch, where there is transform.csv; the machine copies 2e12 bytes a second."""
    rows = [make_row("im2win", "conv1", 2.0), make_row("im2win", "conv1", 1.5, protocol="kernel_only")]
    folder = build(rows)
    provenance = json.loads((folder / "provenance.json").read_text())
    provenance["ceilings"] = {"copy_bytes_per_s": 2e12}
    (folder / "provenance.json").write_text(json.dumps(provenance))
    assert len(speed.transform(table.read(folder)).panels) == 1
    suite, batch = rows[0]["suite"], rows[0]["batch"]
    lines = [
        ",".join(companions.TRANSFORM_COLUMNS),
        f"{suite},{batch},conv2,im2win,9,1800000000,ok,,1.0,0.9,1.1,20,converged,0",
        f"{suite},{batch},conv1,im2win,9,1700000000,ok,,1.0,0.9,1.1,20,converged,0",
        f"{suite},{batch},conv3,im2win,9,1700000000,unsupported,too large,,,,,,0",
        f"{suite},{2 * batch},conv1,im2win,9,1,ok,,1.0,0.9,1.1,20,converged,0",
    ]
    (folder / "transform.csv").write_text("\n".join(lines) + "\n")
    picture = speed.transform(table.read(folder))
    assert picture.panels[1].frame["layer"].tolist() == ["conv1", "conv2"]
    assert picture.panels[1].frame["value"].tolist() == pytest.approx([85, 90])
    assert "Timed alone, with a cold L2 cache, it reaches 85.0 % (conv1) to 90.0 % (conv2)" in picture.caption
    _, alone = figures.draw("transform", picture).axes
    assert [text.get_text() for text in alone.texts] == ["85 %", "90 %"]
    (folder / "transform.csv").write_text("suite,batch\n")
    with pytest.raises(table.ArchiveError, match=r"transform.csv: columns must be suite, batch, layer"):
        speed.transform(table.read(folder))

"""A disk that is full: what was there stays whole, what happened is named, and the next run completes.

The limit on the size of files stands in for a full disk: writing fails in the same place, with another number.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.files import write_atomically
from tests.workflow.conftest import ROOT
from tests.workflow.test_measure import command
from workflow.measure import main

LIMITED = """
import resource, sys
from workflow.measure import main

resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
sys.exit(main(sys.argv[1:]))
"""
WRITE = """
import resource, sys
from pathlib import Path
from analysis.files import write_atomically

resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
write_atomically(Path(sys.argv[1]), "x" * 5000)
"""


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "measurements.csv"
    write_atomically(path, "as it was")
    result = subprocess.run([sys.executable, "-c", WRITE, str(path)], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert "File too large" in result.stderr
    assert path.read_text() == "as it was"
    assert [file.name for file in tmp_path.iterdir()] == ["measurements.csv"]


def test_measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signal.signal", lambda *arguments: None)
    assert main(command(tmp_path, algorithm=["cpu_im2win"])) == 0
    (first,) = tmp_path.rglob("result.json")
    before = first.read_bytes()

    both = command(tmp_path, algorithm=["cpu_im2win", "cpu_torch"])
    result = subprocess.run([sys.executable, "-c", LIMITED, *both], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert "error: the outcome could not be recorded: [Errno 27] File too large" in result.stderr
    assert "cpu_im2win: holds" in result.stdout
    assert first.read_bytes() == before
    assert list(tmp_path.rglob("result.json")) == [first]
    assert not list(tmp_path.rglob(".*.tmp"))

    assert main(both) == 0
    assert first.read_bytes() == before
    results = [json.loads(path.read_text()) for path in tmp_path.rglob("result.json")]
    assert sorted(one["point"]["algorithm"]["name"] for one in results) == ["cpu_im2win", "cpu_torch"]
    assert {one["status"] for one in results} == {"ok"}

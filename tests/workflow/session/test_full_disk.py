"""A disk that is full or read-only: what was there stays whole, what happened is named, and the next run completes.

The limit on the size of files stands in for a full disk: writing fails in the same place, with another number.
"""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.table.files import write_atomically
from tests.workflow.conftest import ROOT, Checkout
from tests.workflow.harness.test_measure import command
from tests.workflow.jobs.test_rerun import TINY
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
from analysis.table.files import write_atomically

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


def test_the_list_of_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The disk is full once every point is recorded."""
    monkeypatch.setattr("signal.signal", lambda *arguments: None)
    assert main(command(tmp_path, algorithm=["cpu_im2win"])) == 0

    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("workflow.measure.write_json", fail)
        assert main(command(tmp_path, algorithm=["cpu_im2win"])) == 1
    assert "error: the outcome could not be recorded: [Errno 28] No space left on device" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(checkout: Checkout) -> None:
    """Nobody can write below /proc: not even root, for whom no folder is read-only."""
    result = checkout.snakemake(f"/proc/{TINY[0]}", *TINY[1:], "results=/proc/results")
    assert result.returncode == 1
    assert "error: /proc/results cannot be written: [Errno 2] No such file or directory" in result.stdout
    assert "Traceback" not in result.stdout
    assert not checkout.taken()


def test_a_job_that_fails_for_want_of_space(checkout: Checkout) -> None:
    """The log may hold nothing then; the run says why all the same, and the next one completes."""
    probe = checkout.folder / "results/.probe"
    probe.mkdir(parents=True)  # nothing can be written in its place
    full = 'import errno\nraise OSError(errno.ENOSPC, "No space left on device")\n'
    aggregate = checkout.folder / "workflow/aggregate.py"
    whole = aggregate.read_text()
    aggregate.write_text(full)
    result = checkout.snakemake(*TINY)
    assert result.returncode == 1
    assert "error: results cannot be written: " in result.stdout
    assert "give the same command again; what was measured stays" in result.stdout
    assert len(checkout.taken()) == 5
    aggregate.write_text(whole)
    probe.rmdir()
    checkout.ran(*TINY)
    assert not checkout.taken()
    assert not list(checkout.folder.glob("results/.*probe*"))

"""Turns on a device."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workflow.machine.lease import lease

HOLDER = """
import sys, time
from workflow.machine.lease import lease

with lease(sys.argv[1:]) as device:
    print(device, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def hold(*devices: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, *devices], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_two_holders_get_two_devices() -> None:
    first, one = hold("a", "b")
    second, two = hold("a", "b")
    try:
        assert {one, two} == {"a", "b"}
    finally:
        first.kill()
        second.kill()


def test_a_killed_holder_frees_its_device() -> None:
    process, _ = hold("a")
    process.send_signal(signal.SIGKILL)
    process.wait()
    with lease(["a"]) as device:
        assert device == "a"


def test_waiting_ends_when_the_device_is_free() -> None:
    process, _ = hold("a")
    waiting = subprocess.Popen([sys.executable, "-c", HOLDER, "a"], stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    assert waiting.poll() is None
    process.kill()
    assert waiting.stdout is not None
    assert waiting.stdout.readline().strip() == "a"
    waiting.kill()

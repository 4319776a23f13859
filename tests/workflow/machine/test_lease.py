"""Turns on a device."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflow.machine import lease as leases
from workflow.machine.lease import LeaseError, lease
from workflow.session.begin import begin

HOLDER = """
import os, sys, time
from workflow.machine.lease import lease

os.umask(0o077)
if sys.argv[1] != "0":
    os.setgroups([])
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))
with lease(sys.argv[2:]) as device:
    print(device, flush=True)
    time.sleep(60)
"""
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become two other users")


@pytest.fixture
def devices() -> Iterator[list[str]]:
    """The names of two devices that no other run on this host has."""
    names = [f"test-{uuid.uuid4()}" for _ in range(2)]
    yield names
    for name in names:
        (leases._lock_folder() / f"im2win-{name}.lock").unlink(missing_ok=True)


def hold(devices: list[str], user: int = 0, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(user), *devices]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | variables)


def held(process: subprocess.Popen[str]) -> str:
    """The device that a holder has got; waits for it."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_holders_get_two_devices(devices: list[str]) -> None:
    first, second = hold(devices), hold(devices)
    try:
        assert {held(first), held(second)} == set(devices)
    finally:
        first.kill()
        second.kill()


def test_a_killed_holder_frees_its_device(devices: list[str]) -> None:
    process = hold(devices[:1])
    held(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with lease(devices[:1]) as device:
        assert device == devices[0]


@pytest.mark.parametrize(
    ("users", "variables"),
    [
        ((0, 0), {}),
        ((0, 0), {"TMPDIR": "/nowhere"}),  # what a user's own temporary folder is called does not matter
        pytest.param((1234, 1235), {}, marks=ROOT_ONLY),  # nor who comes first, although the folder is sticky
    ],
)
def test_waiting_ends_when_the_device_is_free(
    devices: list[str], users: tuple[int, int], variables: dict[str, str]
) -> None:
    first = hold(devices[:1], users[0])
    assert held(first) == devices[0]
    waiting = hold(devices[:1], users[1], **variables)
    try:
        time.sleep(0.7)
        assert waiting.poll() is None
        first.kill()
        assert held(waiting) == devices[0]
    finally:
        first.kill()
        waiting.kill()


def test_a_lock_that_cannot_be_used_is_named(devices: list[str]) -> None:
    path = leases._lock_folder() / f"im2win-{devices[0]}.lock"
    path.symlink_to("/nowhere/at/all")
    with pytest.raises(LeaseError, match=f"(?s){path}, by which .*rm {path}"), lease(devices[:1]):
        pass


def test_a_run_begins_with_locks_that_can_be_used(devices: list[str], tmp_path: Path) -> None:
    process = hold(devices[:1])
    held(process)
    begin(str(tmp_path), [], devices)  # one that another run holds is no obstacle
    process.kill()
    path = leases._lock_folder() / f"im2win-{devices[1]}.lock"
    path.unlink(missing_ok=True)
    path.symlink_to("/nowhere/at/all")
    with pytest.raises(SystemExit, match=f"error: the lock {path}"):
        begin(str(tmp_path / "another"), [], devices)


def test_the_folder_is_one_that_all_users_share() -> None:
    folder = leases._lock_folder()
    assert folder == Path("/run/lock") or folder.stat().st_mode & 0o002

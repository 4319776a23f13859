"""What is recorded beside every result."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflow.machine import provenance


@pytest.fixture(autouse=True)
def _read_anew() -> Iterator[None]:
    yield
    provenance.git_state.cache_clear()


def test_revision_of_this_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(*arguments: str) -> str:
        answers = {"rev-parse --show-toplevel": str(provenance.ROOT), "rev-parse HEAD": "0123abc"}
        return answers.get(" ".join(arguments), " M file")

    monkeypatch.setattr(provenance, "_git", fake)
    monkeypatch.delenv("SOURCE_REVISION", raising=False)
    provenance.git_state.cache_clear()
    assert provenance.git_state() == {"revision": "0123abc", "dirty": True}
    # Sources that travelled: what is told with them is known better than what git says where they have arrived.
    monkeypatch.setenv("SOURCE_REVISION", "4567def")
    provenance.git_state.cache_clear()
    assert provenance.git_state() == {"revision": "4567def", "dirty": False}


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ("0123abc", {"revision": "0123abc", "dirty": False}),
        ("0123abc-dirty", {"revision": "0123abc", "dirty": True}),
        ("", {"revision": None, "dirty": None}),
    ],
)
def test_revision_without_git(monkeypatch: pytest.MonkeyPatch, told: str, state: dict[str, object]) -> None:
    def no_git(*arguments: str) -> str:
        raise subprocess.CalledProcessError(128, "git")

    monkeypatch.setattr(provenance, "_git", no_git)
    monkeypatch.setenv("SOURCE_REVISION", told)
    provenance.git_state.cache_clear()
    assert provenance.git_state() == state


def test_a_copy_inside_another_repository_has_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a zip download has none of its own, whatever the folder above is."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    copy = tmp_path / "download"
    copy.mkdir()
    monkeypatch.setattr(provenance, "ROOT", copy)
    monkeypatch.delenv("SOURCE_REVISION", raising=False)
    provenance.git_state.cache_clear()
    assert provenance.git_state() == {"revision": None, "dirty": None}


def test_the_host_is_marked_but_not_named() -> None:
    assert socket.gethostname() not in provenance.host()
    assert provenance.host() == provenance.host()


def test_software_names_its_versions() -> None:
    versions = provenance.software()
    assert versions["torch"]
    assert versions["cuda-core"]
    assert versions["python"]


@pytest.mark.parametrize(("number", "text"), [(None, None), (91900, "9.19.0"), (8001, "8001")])
def test_cudnn_version(number: int | None, text: str | None) -> None:
    assert provenance._cudnn_version(number) == text

"""What the shell says that would spoil a measurement."""

from __future__ import annotations

import pytest

from workflow.machine.settings import SPOILING, clean, settings, spoiled_by


def test_a_measuring_process_goes_without_what_would_spoil_it(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = dict.fromkeys(SPOILING, "1") | {"HOME": "/home/user", "OMP_NUM_THREADS": "2"}
    assert clean(everything) == {"HOME": "/home/user", "OMP_NUM_THREADS": "2"}
    assert spoiled_by(clean(everything)) == ""
    assert spoiled_by({"CUDA_LAUNCH_BLOCKING": "1"}) == "CUDA_LAUNCH_BLOCKING=1 (every launch waits for its kernel)"


def test_the_process_of_a_grouped_convolution_has_more_queues() -> None:
    """For the streams of a library; every process would take a second longer to begin with them."""
    usual = clean({"CUDA_DEVICE_MAX_CONNECTIONS": "1"}, groups=1)
    assert usual == {}
    of_groups = clean({"CUDA_DEVICE_MAX_CONNECTIONS": "1"}, groups=32)
    assert of_groups == {"CUDA_DEVICE_MAX_CONNECTIONS": "32"}
    assert spoiled_by(of_groups) == ""


def test_settings_are_recorded_without_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libtcmalloc.so")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a")
    found = settings()
    assert found["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert found["LD_PRELOAD"] == "(a path)"
    assert "CUDA_VISIBLE_DEVICES" not in found

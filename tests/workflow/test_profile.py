"""What is run for a profiler."""

from __future__ import annotations

import pytest

from workflow.profile import main


def test_on_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--layer", "odd_window", "ic64ih9oc8kh3ph1", "--algorithm", "cpu_im2win", "cpu_fft", "--batch", "2"]
    assert main(asked) == 0
    said = capsys.readouterr().out.splitlines()
    labels = [f"{algorithm}/{layer}" for algorithm in ("cpu_im2win", "cpu_fft") for layer in asked[1:3]]
    assert [line.partition(":")[0] for line in said] == labels


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (["--layer", "conv99", "--algorithm", "cpu_fft"], "conv99"),
        (["--layer", "conv1", "--algorithm", "im2lose"], "im2lose"),
        (["--layer", "ic3", "--algorithm", "cpu_fft"], "oc is missing"),
        (["--layer", "conv1", "--algorithm", "cpu_fft", "--batch", "0"], "batch"),
        (["--layer", "conv1", "--algorithm", "im2win"], "no NVIDIA GPU was found"),
    ],
)
def test_bad_requests(
    asked: list[str], why: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow.profile.find_gpus", list)
    assert main(asked) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and why in said

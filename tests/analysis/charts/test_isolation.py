"""The same table gives the same bytes, whatever the user's shell and Matplotlib settings are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DARK = "figure.facecolor: black\naxes.facecolor: black\ntext.color: red\nsvg.fonttype: none\nfont.size: 20\n"


def draw(table: Path, output: Path, folder: Path, **variables: str) -> dict[str, bytes]:
    command = [sys.executable, "-m", "analysis.figures", "--table", str(table), "--output", str(output)]
    command += ["--figure", "tflops", "--figure", "speedup"]
    environment = {name: value for name, value in os.environ.items() if name not in ("MPLBACKEND", "MATPLOTLIBRC")}
    subprocess.run(command, cwd=folder, env=environment | {"PYTHONPATH": str(ROOT)} | variables, check=True)
    return {path.name: path.read_bytes() for path in output.rglob("*.*")}


def test_the_users_settings_change_no_byte(
    build: Callable[..., Path], make_rows: Callable[..., list[dict[str, object]]], tmp_path: Path
) -> None:
    built = build(make_rows())
    plain, own = tmp_path / "plain", tmp_path / "own"
    for folder in (plain, own):
        folder.mkdir()
    (own / "matplotlibrc").write_text(DARK)
    expected = draw(built, tmp_path / "a", plain)
    assert {"tflops.svg", "speedup.png"} <= set(expected)
    backend = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "MATPLOTLIBRC": str(own / "matplotlibrc")}
    assert draw(built, tmp_path / "b", own, **backend) == expected

"""The package as another project has it: one pip command, another name, and nothing of the repository."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
USE = """
import sys
import torch, im2win
from im2win.model.programs import cubin_of
assert "kernels" not in sys.modules, "it would clash with PyPI's package"
model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
x = torch.randn(2, 3, 8, 8)
expected = model(x)
print(im2win.convert(model))
assert torch.equal(model(x), expected)
for program, expression in (("tensor_core_filter", "split_filter<2>"), ("im2win_winograd", "winograd_filter")):
    cubin, symbol = cubin_of(program, expression, "sm_90a")
    assert cubin.startswith(b"\\x7fELF") and expression[:12] in symbol
"""


def test_pip_install(tmp_path: Path) -> None:
    target, source = tmp_path / "site", tmp_path / "checkout"
    # A copy, since building leaves files behind.
    shutil.copytree(ROOT / "kernels", source / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    # Without what an index would have to give: the environment has it.
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True, cwd=tmp_path)
    environment = {"PYTHONPATH": str(target), "PATH": "", "IM2WIN_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", USE]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "1 convolutions replaced, 0 left"
    assert sorted(path.name for path in target.iterdir() if path.suffix != ".dist-info") == ["im2win"]


def test_every_room_is_installed() -> None:
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    rooms = [path.parent.relative_to(ROOT / "kernels").parts for path in (ROOT / "kernels").rglob("__init__.py")]
    assert sorted(named) == sorted(".".join(("im2win", *parts)) for parts in rooms)

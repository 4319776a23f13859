"""The hash of the measuring program covers every module of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kernels.build.sources import folder_hash
from workflow.harness import identity


def test_a_file_added_to_the_harness_changes_its_hash(tmp_path: Path) -> None:
    """So does a change of any module, the stream gate among them; comments and the names of files do not."""
    folder = tmp_path / "harness"
    shutil.copytree(Path(identity.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    today = identity.harness_hash()
    assert len(today) == 16
    assert folder_hash(folder, *identity._BESIDE) == today

    for module in sorted(folder.glob("*.py")):
        if module.name == "__init__.py":
            continue
        text = module.read_text()
        module.write_text(text + "\n_NEW = 1\n")
        assert folder_hash(folder, *identity._BESIDE) != today, module.name
        module.write_text(text + "\n# a remark\n")
        assert folder_hash(folder, *identity._BESIDE) == today, module.name

    (folder / "gate.py").rename(folder / "barrier.py")
    assert folder_hash(folder, *identity._BESIDE) == today
    (folder / "another.py").write_text("LIMIT = 3\n")
    assert folder_hash(folder, *identity._BESIDE) != today


def test_the_statistics_are_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in another folder, since reading a table takes them too."""
    (statistics,) = identity._BESIDE
    changed = tmp_path / statistics.name
    changed.write_text(statistics.read_text() + "\n_NEW = 1\n")
    monkeypatch.setattr(identity, "_BESIDE", (changed,))
    assert folder_hash(Path(identity.__file__).parent, *identity._BESIDE) != identity.harness_hash()

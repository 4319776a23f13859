"""Hygiene of the files under version control: nothing of one machine in them, sizes within bounds."""

import subprocess
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
# In two parts, so that this file does not contain what it forbids.
FORBIDDEN = ["/wo" + "rk/", "/ro" + "ot/", ".lib" + "rary/", "/opt/" + "pypi", "pypi" + ".org", "python" + "hosted"]
SOURCE_SUFFIXES = {".py", ".cu", ".cuh", ".smk"}


@cache
def files() -> list[Path]:
    """The files that are, or would be, under version control."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def line_count(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = []
    for path in files():
        content = path.read_bytes()
        found += [f"{path.relative_to(ROOT)}: {text}" for text in FORBIDDEN if text.encode() in content]
    assert found == []


def test_source_files_are_short() -> None:
    limits = {path: 200 if path.suffix == ".smk" else 400 for path in files() if path.suffix in SOURCE_SUFFIXES}
    limits.update({path: 49 for path in files() if path.name == "Snakefile"})
    too_long = [
        f"{path.relative_to(ROOT)}: {line_count(path)} lines, at most {limit}"
        for path, limit in limits.items()
        if line_count(path) > limit
    ]
    assert too_long == []


def test_every_test_file_is_collected(pytestconfig: pytest.Config) -> None:
    """pytest passes over folders that have the name of a build folder, unless it is told otherwise."""
    skipped = [
        str(path.relative_to(ROOT))
        for path in files()
        if path.name.startswith("test_") and path.suffix == ".py"
        for part in path.parent.relative_to(ROOT).parts
        if any(fnmatch(part, pattern) for pattern in pytestconfig.getini("norecursedirs"))
    ]
    assert skipped == []


def test_license_is_the_one_that_the_citation_names() -> None:
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == "MIT"
    assert [reference["title"] for reference in citation["references"]] == [
        "Im2win: An Efficient Convolution Paradigm on GPU"
    ]

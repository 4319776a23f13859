"""pyproject.toml, environment.yml and requirements.lock must describe the same environment."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)")
# What only the CUDA build of torch requires; it pins these itself, and the CPU build must not install them.
CUDA_ONLY = re.compile(r"cuda-toolkit|triton|nvidia-(?!cuda-nvrtc$|cuda-nvdisasm$|ml-py$).*")


def pins(requirements: list[str]) -> dict[str, str]:
    """Versions by canonical name; fails on a requirement that is not exactly NAME==VERSION, or is there twice."""
    versions: dict[str, str] = {}
    for requirement in requirements:
        match = PIN.fullmatch(requirement)
        assert match, f"{requirement!r} is not NAME==VERSION"
        name = canonicalize_name(match[1])
        assert name not in versions, f"{name} is listed twice"
        versions[name] = match[2]
    return versions


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def project_pins() -> dict[str, str]:
    extras = project()["optional-dependencies"]
    return pins(project()["dependencies"] + extras["dev"] + extras["slurm"])


def lock_pins() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return pins([line for line in lines if line and not line.startswith("#")])


def conda_dependencies() -> list:
    return yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]


def test_conda_environment_has_the_versions_of_pyproject() -> None:
    (pip,) = (entry["pip"] for entry in conda_dependencies() if isinstance(entry, dict))
    options = [line for line in pip if line.startswith("-")]
    assert options == ["--requirement requirements.lock"]
    assert pins([line for line in pip if line not in options]) == project_pins()


def test_conda_environment_has_a_python_that_pyproject_allows() -> None:
    (python,) = (entry for entry in conda_dependencies() if str(entry).startswith("python="))
    assert SpecifierSet(project()["requires-python"]).contains(python.removeprefix("python="))


def test_lock_has_the_versions_of_pyproject() -> None:
    lock = lock_pins()
    wanted = project_pins()
    assert {name: lock.get(name) for name in wanted} == wanted


def test_lock_fits_a_machine_without_a_gpu() -> None:
    assert [name for name in lock_pins() if CUDA_ONLY.fullmatch(name)] == []


def test_lock_is_complete() -> None:
    """Whatever a locked package needs is locked too; otherwise two installs could differ."""
    lock = lock_pins()
    missing = []
    for name, version in lock.items():
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed: this is not the locked environment")
        if distribution.version.split("+")[0] != version:
            pytest.skip(f"{name} {distribution.version} is installed, not {version}: not the locked environment")
        for text in distribution.requires or []:
            requirement = Requirement(text)
            needed = canonicalize_name(requirement.name)
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            if needed not in lock and not CUDA_ONLY.fullmatch(needed):
                missing.append(f"{name} needs {needed}")
    assert missing == []

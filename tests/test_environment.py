"""pyproject.toml, environment.yml and the lock files must describe the same environment."""

import os
import re
import shutil
import subprocess
import sysconfig
import tomllib
import venv
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

LOCKS = ("requirements.lock", "requirements-slurm.lock")
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
    return pins([one for extra in ("workflow", "dev") for one in project()["optional-dependencies"][extra]])


def lock_pins(*names: str) -> dict[str, str]:
    """The versions in these lock files, together."""
    lines = [line for name in names or LOCKS for line in (ROOT / name).read_text().splitlines()]
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


def test_locks_have_the_versions_of_pyproject() -> None:
    for file, wanted in (
        ("requirements.lock", project_pins()),
        ("requirements-slurm.lock", pins(project()["optional-dependencies"]["slurm"])),
    ):
        lock = lock_pins(file)
        assert {name: lock.get(name) for name in wanted} == wanted


def test_what_another_project_gets_is_what_is_tested() -> None:
    lock = lock_pins("requirements.lock")
    for requirement in map(Requirement, project()["dependencies"]):
        assert requirement.specifier.contains(lock[canonicalize_name(requirement.name)]), requirement


def test_only_a_cluster_needs_the_slurm_plugin() -> None:
    """Snakemake loads every plugin that is installed, and this one fails where there is no `which`."""
    slurm = set(lock_pins("requirements-slurm.lock"))
    assert {name for name in slurm | set(lock_pins("requirements.lock")) if "slurm" in name} == slurm
    assert not slurm & set(lock_pins("requirements.lock"))
    conda = (ROOT / "environment.yml").read_text()
    assert not any(f"{name}==" in conda for name in slurm)


def test_snakemake_runs_without_which(tmp_path: Path) -> None:
    """In an environment with all packages but those of requirements-slurm.lock."""
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    slurm = [name.replace("-", "_") for name in lock_pins("requirements-slurm.lock")]
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if entry.name != "__pycache__" and entry.name.partition("-")[0] not in slurm:
            (packages / entry.name).symlink_to(entry)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "git", "sh"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    for options in (["--version"], ["-n", "--config", "archive=all", f"results={tmp_path}"]):
        answer = subprocess.run(
            [environment / "bin/python", "-m", "snakemake", *options],
            cwd=ROOT,
            env={"PATH": str(programs), "HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stdout


def test_locks_fit_a_machine_without_a_gpu() -> None:
    assert [name for name in lock_pins() if CUDA_ONLY.fullmatch(name)] == []


@pytest.mark.parametrize("files", [LOCKS[:1], LOCKS])
def test_locks_are_complete(files: tuple[str, ...]) -> None:
    """Whatever a locked package needs is locked too; otherwise two installs could differ."""
    lock = lock_pins(*files)
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


def test_the_release_is_one_version() -> None:
    """In the package, in the citation, and the newest in the changelog."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+), (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest and newest.groups() == (project()["version"], str(citation["date-released"]))
    assert citation["version"] == project()["version"]
    assert {"title", "message", "authors", "license", "references"} <= set(citation)
    assert [author["family-names"] for author in citation["references"][0]["authors"]] == ["Lu", "Chu", "Guo", "Liu"]


#: In place of the environment's Python: notes what it is called with, and under which variables; says that packages are
#: in the environment unless there is a file `elsewhere`.
PYTHON = """#!/bin/sh
echo "$@" >>calls
env >variables
case "$*" in *seaborn*) test ! -e elsewhere ;; esac
"""
STRANGE = {"PYTHONPATH": "/elsewhere", "PYTHONHOME": "/home", "PIP_USER": "1", "PIP_TARGET": "/t", "PIP_PREFIX": "/p"}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A checkout whose environment is a stand-in."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    python = tmp_path / ".venv/bin/python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    return tmp_path


def make(folder: Path, target: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | STRANGE
    return subprocess.run(["make", target], cwd=folder, env=variables, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("target", ["environment", "figures"])
def test_the_environment_keeps_to_itself(made: Path, target: str) -> None:
    """Whatever the shell says of where packages come from and go to."""
    result = make(made, target)
    assert result.returncode == 0, result.stderr
    assert (made / ".venv/.complete").is_file()
    variables = dict(line.partition("=")[::2] for line in (made / "variables").read_text().splitlines())
    assert not set(STRANGE) - {"PIP_USER"} & set(variables)
    assert (variables["PIP_USER"], variables["PYTHONNOUSERSITE"]) == ("0", "1")


def test_packages_that_pip_put_elsewhere_make_no_environment(made: Path) -> None:
    (made / "elsewhere").touch()
    result = make(made, "environment")
    assert result.returncode != 0
    assert "Error: pip installed the packages elsewhere than into .venv: see" in result.stderr
    assert not (made / ".venv/.complete").exists()

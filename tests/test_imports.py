"""Imports run one way: between the packages, between the rooms of each, and never in a circle."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("kernels", "workflow", "analysis")
#: Room -> the rooms (or packages) that it may import, besides itself. A package's own name stands for what lies
#: directly in its folder: its programs, or in kernels what every family uses.
MAY_IMPORT = {
    "kernels": {"kernels.build", "kernels.tiles"},
    "kernels.tiles": {"kernels"},
    "kernels.build": {"kernels.tiles"},
    "kernels.families": {"kernels", "kernels.tiles", "kernels.build"},
    "kernels.baselines": {"kernels", "kernels.families", "kernels.build", "kernels.model"},
    "kernels.model": {"kernels", "kernels.families", "kernels.tiles", "kernels.build"},
    "analysis.table": set(),
    "analysis.writing": set(),
    "analysis.numbers": {"analysis.table", "analysis.writing"},
    "analysis.frames": {"analysis.table", "analysis.writing", "analysis.numbers"},
    "analysis.charts": {"analysis.table", "analysis.writing", "analysis.numbers", "analysis.frames"},
    "analysis.prose": {"analysis.table", "analysis.writing", "analysis.numbers", "analysis.frames"},
    "analysis": {f"analysis.{room}" for room in ("table", "writing", "numbers", "frames", "charts", "prose")},
    "workflow.machine": {"kernels", "kernels.build"},
    "workflow.experiment": {"workflow.machine", "analysis.table", "kernels", "kernels.build", "kernels.tiles"},
    "workflow.harness": {"workflow.machine", "analysis.table", "kernels", "kernels.build", "kernels.tiles"},
    "workflow.networks": {
        *(f"workflow.{room}" for room in ("machine", "experiment", "harness")),
        *("analysis.table", "kernels", "kernels.model"),
    },
    "workflow.session": {"workflow.machine", "analysis.table"},
    "workflow.jobs": {
        *(f"workflow.{room}" for room in ("machine", "experiment", "harness", "networks", "session")),
        *("analysis.table", "kernels.build"),
    },
    "workflow": {
        *(f"workflow.{room}" for room in ("machine", "experiment", "harness", "session", "jobs", "networks")),
        *("analysis.table", "kernels", "kernels.build", "kernels.tiles"),
    },
}


def room_of(module: str) -> str:
    """The folder of a module, as a dotted name."""
    return module.rpartition(".")[0]


@cache
def imports() -> dict[str, set[str]]:
    """Module -> the modules of the project that it imports: anywhere in it, also for types alone."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    }
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        named: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                source = resolve_name("." * node.level + (node.module or ""), room_of(module))
                named |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
        graph[module] = named & set(modules)
    return graph


def test_no_module_imports_itself_in_a_circle() -> None:
    try:
        list(TopologicalSorter(imports()).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_rooms_import_one_way() -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, found in imports().items()
        for imported in sorted(found)
        if room_of(imported) not in MAY_IMPORT[room_of(module)] | {room_of(module)}
    ]
    assert wrong == []


def test_every_room_is_known() -> None:
    assert {room_of(module) for module in imports()} == set(MAY_IMPORT)


def test_no_program_is_imported_by_a_room() -> None:
    """What two programs share lies in a room."""
    programs = {module for module in imports() if room_of(module) in ("workflow", "analysis")}
    wrong = [
        f"{module} imports {imported}"
        for module, found in imports().items()
        for imported in sorted(found & programs)
        if module not in programs
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", sorted({room_of(module) for module in imports()}))
def test_no_room_is_crowded(folder: str) -> None:
    found = [module for module in imports() if room_of(module) == folder]
    assert len(found) <= 15, f"{folder} has {len(found)} modules: {', '.join(sorted(found))}"

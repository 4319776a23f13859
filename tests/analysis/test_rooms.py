"""What may import what: table <- numbers <- frames, prose <- charts <- programs; and no list of algorithms anywhere."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.numbers import algorithms

ANALYSIS = Path(__file__).resolve().parents[2] / "analysis"
#: Room -> the rooms that it may use, besides itself.
USES = {
    "table": set(),
    "writing": set(),
    "numbers": {"table", "writing"},
    "frames": {"table", "writing", "numbers"},
    "prose": {"table", "writing", "numbers"},
    "charts": {"table", "writing", "numbers", "frames"},
}
#: Modules that may name algorithms: what is derived from them, and the reasons that belong to a claim's baseline.
NAMING = {"numbers/algorithms.py", "numbers/models.py", "prose/reasons.py"}
MODULES = sorted(path for path in ANALYSIS.rglob("*.py") if "archive" not in path.relative_to(ANALYSIS).parts[:1])


def name(path: Path) -> str:
    return path.relative_to(ANALYSIS).as_posix()


def imported(path: Path) -> set[str]:
    """The modules that a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
    return found


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_point_one_way(path: Path) -> None:
    used = {module.split(".")[1] for module in imported(path) if module.startswith("analysis.")}
    room = path.relative_to(ANALYSIS).parts[0]
    if room in USES:
        assert used <= {room, *USES[room]}
    assert not {module.split(".")[0] for module in imported(path)} & {"workflow", "kernels"}


def test_there_is_no_circle() -> None:
    modules = {f"analysis.{'.'.join(path.relative_to(ANALYSIS).with_suffix('').parts)}": path for path in MODULES}
    left = {module: imported(path) & set(modules) for module, path in modules.items()}
    while left:
        free = [module for module, uses in left.items() if not uses & set(left)]
        assert free, f"a circle among {sorted(left)}"
        left = {module: uses for module, uses in left.items() if module not in free}


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_algorithms_are_named_in_their_files_alone(path: Path) -> None:
    texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    named = {text for text in texts if isinstance(text, str)} & set(algorithms.described())
    # `im2win` and `direct` are words too.
    assert name(path) in NAMING or not named - {"im2win", "direct"}


@pytest.mark.parametrize(
    "module", ["schema", "order", "errors", "companions", "files", "provenance", "manifest", "sizes", "described"]
)
def test_what_a_run_needs_of_the_table_imports_no_pandas(module: str) -> None:
    code = f"import sys, analysis.table.{module}; print('pandas' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ANALYSIS.parent, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]

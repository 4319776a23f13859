"""Identity of a kernel: a hash of its sources that formatting and comments leave as it is.

A measurement is repeated when this hash changes, so a change of white space, of a comment or of a docstring must not
change it. Needs neither PyTorch nor CUDA.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from .programs import COMPILE_OPTIONS, CUDA_FOLDER, DEFINITIONS, PROGRAMS

#: The packages of this project: an import of theirs says where something lies, not what it means.
_PACKAGES = ("kernels", "workflow", "analysis")
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_WORD = re.compile(r"[A-Za-z_]\w*")
#: Imports that are not followed: the lists of all algorithms, of which the hash takes what concerns one, so that a new
#: tile of one leaves the others as they are; and this module, which computes no number.
_NOT_FOLLOWED = ("kernels.build.programs", "kernels.build.compile", "kernels.build.sources")
# A string or character literal (kept), or a comment (dropped).
_LITERAL_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|//[^\n]*|/\*.*?\*/', re.DOTALL)
# White space between two characters that would run together into one word keeps them apart; other goes.
_SPACE = re.compile(r"(?<=\w)\s+(?=\w)|\s+")


def programs() -> list[str]:
    """All CUDA programs, by name."""
    return list(PROGRAMS)


def program_files(program: str) -> list[Path]:
    """The program's `.cu` file and every file of ours that it includes, directly or not."""
    if program not in PROGRAMS:
        raise KeyError(f"there is no CUDA program {program!r}; there are {', '.join(PROGRAMS)}")
    found: list[Path] = []
    waiting = [CUDA_FOLDER / f"{program}.cu"]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.append(path)
            waiting += [path.parent / name for name in _INCLUDE.findall(path.read_text())]
    return found


def module_files(module: str) -> list[Path]:
    """The module's file (dotted name) and every file of this package that it imports, directly or not."""
    root = Path(__file__).resolve().parents[2]
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        module = waiting.pop()
        path = root.joinpath(*module.split(".")).with_suffix(".py")
        if path not in found:
            found.add(path)
            waiting += _imports(path.read_text(), module.rpartition(".")[0])
    return sorted(found)


@cache
def _imports(source: str, package: str) -> list[str]:
    """The modules of this package that a module imports at its top: those below `if TYPE_CHECKING` compute nothing."""
    imports = [node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)]
    imported = [resolve_name("." * node.level + str(node.module), package) for node in imports]
    return [name for name in imported if name.startswith("kernels.") and name not in _NOT_FOLLOWED]


def source_hash(module: str, programs: Iterable[str]) -> str:
    """Hash of an algorithm's sources: its Python module (dotted name), its CUDA programs and how they are compiled.

    The module stands for all of `module_files`. Sixteen hexadecimal digits. Changes with the meaning of the code, not
    with its formatting.
    """
    return _hash(module, tuple(programs))


@cache
def _hash(module: str, programs: tuple[str, ...]) -> str:
    texts = [normalized_python(path.read_text()) for path in module_files(module)]
    cuda = [normalized_cuda(path.read_text()) for path in {path for name in programs for path in program_files(name)}]
    # In an order of their own: where a file lies and what it is called has no meaning.
    parts = [*sorted(texts), *sorted(cuda)]
    words = {word for text in cuda for word in _WORD.findall(text)}
    parts += [f"{name}={value}" for name, value in sorted(DEFINITIONS.items()) if name in words]
    for program in programs:
        parts += PROGRAMS[program]
    if programs:
        parts.append(repr(COMPILE_OPTIONS))
    return digest(parts)


def folder_hash(folder: Path, *modules: Path) -> str:
    """Hash of the meaning of all Python modules of a folder and of further ones, whatever they are called."""
    return digest(sorted(normalized_python(path.read_text()) for path in (*folder.rglob("*.py"), *modules)))


def digest(parts: Iterable[str]) -> str:
    """Sixteen hexadecimal digits that identify a sequence of texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def normalized_cuda(source: str) -> str:
    """CUDA C++ without comments, without includes of our own files and without white space that means nothing."""
    source = _INCLUDE.sub("", source)
    code = _LITERAL_OR_COMMENT.sub(lambda match: match[0] if match[0][0] in "\"'" else " ", source)
    # A preprocessor line ends with its line, so its newline is kept as a mark.
    lines = re.sub(r"\\\n", " ", code).split("\n")
    code = "\n".join(f"{line.strip()};#" if line.lstrip().startswith("#") else line for line in lines)
    return _SPACE.sub(lambda match: " " if _between_words(code, match) else "", code).strip()


def _between_words(text: str, match: re.Match[str]) -> bool:
    before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
    return bool(re.match(r"\w\w", before + after))


@cache
def normalized_python(source: str) -> str:
    """Python without comments, docstrings, imports of this project's modules and formatting.

    It is the same under every version of Python: `ast.dump` differs between versions; this walk names only the fields
    that say something.
    """
    return _node_text(ast.parse(source))


def _node_text(node: object) -> str:
    if isinstance(node, list):
        return "[" + ",".join([_node_text(item) for item in node if not _is_own_import(item)]) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = []
    for name in _telling_fields(node._fields):
        value: Any = getattr(node, name, None)
        if name == "body" and isinstance(node, _WITH_DOCSTRING) and _is_docstring(value):
            value = value[1:]
        if value is not None and value != []:  # empty fields come and go between versions
            fields.append(f"{name}={_node_text(value)}")
    return f"{type(node).__name__}({','.join(fields)})"


@cache
def _telling_fields(names: tuple[str, ...]) -> list[str]:
    """The fields of a kind of node, without `ctx`, `kind` and `type_*`, which say nothing about meaning."""
    return [name for name in names if name not in ("ctx", "kind") and not name.startswith("type_")]


def _is_docstring(body: Any) -> bool:
    first = body[0] if body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def _is_own_import(node: object) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.level > 0 or str(node.module).partition(".")[0] in _PACKAGES)

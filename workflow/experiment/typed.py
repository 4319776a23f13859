"""The keys of `--config` as they were typed.

Snakemake reads values as numbers and YAML, so that `results=2026_11_25` becomes 20261125 and `layer=007` 7. It keeps
the words, and hands them to the processes of its jobs as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from workflow.experiment.errors import BadValueError, RequestError

#: YAML in which every value is a text, as it is written.
TextLoader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
#: Options that Snakemake takes once: their names, and how to give several values.
_ONCE = {"--config": (("--config", "-C"), "A=1 B=2"), "--configfile": (("--configfile", "--configfiles"), "ONE TWO")}


def as_typed(config: Mapping[str, Any], words: Iterable[str], files: Sequence[Path] = ()) -> dict[str, Any]:
    """`config`, with each value as it stands in `words` (KEY=VALUE) or else in the configuration `files`.

    A list in brackets stays a list of texts, and quotes around a value go. Raises BadValueError for a key that the
    words give twice.
    """
    typed: dict[str, Any] = {}
    for file in files:
        typed |= yaml.load(file.read_text(encoding="utf-8"), Loader=TextLoader) or {}
    given: dict[str, str] = {}
    for word in words:
        key, _, value = word.partition("=")
        if given.setdefault(key, value) != value:
            raise BadValueError(
                f"--config gives {key}= twice, {given[key]} and {value}; give it once, several values with commas"
            )
    typed |= {key: _unquoted(value) for key, value in given.items()}
    return {key: typed.get(key, value) for key, value in config.items()}


def _unquoted(value: str) -> Any:
    if not value.startswith(("[", "'", '"')):
        return value
    try:
        return yaml.load(value, Loader=TextLoader)
    except yaml.YAMLError:
        return value


def check_once(arguments: Sequence[str]) -> None:
    """Raises RequestError if a command line has `--config` more than once: Snakemake would take the last one alone."""
    words = [word.partition("=")[0] if word.startswith("--") else word[:2] for word in arguments]
    for option, (names, values) in _ONCE.items():
        if sum(word in names for word in words) > 1:
            raise RequestError(
                f"{option} is given twice, and Snakemake takes the last one alone; give it once: {option} {values}"
            )

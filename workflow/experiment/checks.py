"""What the schemas of conf/ cannot say: names, texts that YAML reads as numbers, and numbers that mean nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from workflow.experiment.errors import BadValueError, ConfigFileError, unknown
from workflow.experiment.typed import TextLoader

#: What a name may hold: it is a part of a path, and several are given with commas between them.
NAMES = "letters, digits, '_', '-', '+', '.' and single spaces, with a letter, a digit or '_' first and no space last"
_NAME = re.compile(r"\w(?:[\w.+-]| (?=[\w.+-]))*")
_COLOR = re.compile(r"\d|[01]|0?\.\d+|1\.0|#[0-9a-fA-F]{6}")
_MARKERS = ".,ov^<>12348spP*hH+xXDd|_"
_RESERVED = {"experiment": "auto", "suite": "own"}
#: Field -> the least value, and whether that value itself is allowed.
_LEAST: dict[str, tuple[float, bool]] = {
    "warmup_seconds": (0, True),
    "min_samples": (1, True),
    "max_samples": (1, True),
    "max_seconds": (0, False),
    "target_half_width": (0, True),
    "quiet_seconds": (0, True),
    "time_limit_seconds": (0, False),
    "ceiling_tolerance": (0, True),
    "max_error_fro": (0, False),
    "max_error_max": (0, False),
}
#: Axes of an experiment without which there is nothing to measure; and the same of other groups.
_NEEDED = {
    "suite": ("layers",),
    "algorithm": ("numerics",),
    "experiment": ("suite", "algorithm", "protocol", "numerics"),
}


def files(conf: Path, group: str) -> list[Path]:
    """The files of a group of conf/, without those that an editor leaves beside them.

    Raises ConfigFileError for one whose name cannot be taken.
    """
    found = []
    for path in sorted((conf / group).glob("*")):
        where = f"conf/{group}/{path.name}"
        if path.name.startswith((".", "#")) or path.suffix not in (".yaml", ".yml", ".YAML", ".YML"):
            continue
        if path.suffix != ".yaml":
            raise ConfigFileError(f"{where}: rename it to {path.stem}.yaml; no other ending is read")
        if not is_name(path.stem):
            raise ConfigFileError(f"{where}: rename it, and its name: too; a name may hold {NAMES}")
        if _RESERVED.get(group) == path.stem:
            raise ConfigFileError(
                f"{where}: rename it, and its name: too; {group}={path.stem} has a meaning of its own"
            )
        found.append(path)
    return found


def is_name(name: str) -> bool:
    """Whether this can be the name of an entry of conf/: one part of a path that can be typed on a command line."""
    return bool(_NAME.fullmatch(name))


def check_text(path: Path, where: str) -> None:
    """Raises ConfigFileError unless the file can be read as text."""
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigFileError(f"{where}: line {line} is not UTF-8; save the file in that encoding") from None
    except OSError as error:
        raise ConfigFileError(f"{where}: it cannot be read: {error.strerror}") from None


def has_other_schema(path: Path, group: str) -> bool:
    """Whether the defaults of a file name a schema that is not the one of its group."""
    try:
        written = yaml.load(path.read_text(encoding="utf-8"), Loader=TextLoader)
    except yaml.YAMLError:
        return False
    defaults = written.get("defaults") if isinstance(written, Mapping) else None
    named = [str(entry) for entry in defaults or [] if str(entry).startswith("/schema/")]
    return any(entry != f"/schema/{group}@_here_" for entry in named)


def check_quotes(path: Path, where: str, entry: Mapping[str, Any]) -> None:
    """Raises ConfigFileError for a text of an entry that YAML has read as a number or a truth value."""
    for key, text, written in _texts(entry, yaml.load(path.read_text(encoding="utf-8"), Loader=TextLoader)):
        if text != written and "${" not in written:
            raise ConfigFileError(f"{where}: {key}: YAML reads {written} as {text}; put it in quotes: '{written}'")


def _texts(entry: Any, written: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """(key, text, how it is written) of every text of an entry that its file sets."""
    if isinstance(entry, Mapping) and isinstance(written, Mapping):
        for name in entry:
            if name in written and name != "parameters":
                yield from _texts(entry[name], written[name], name)
    elif isinstance(entry, list) and isinstance(written, list) and len(entry) == len(written):
        for one, other in zip(entry, written, strict=True):
            yield from _texts(one, other, key)
    elif isinstance(entry, str) and isinstance(written, str):
        yield key, entry, written


def check_layer(layer: Mapping[str, Any], where: str) -> None:
    """Raises ConfigFileError for a size that may be several numbers, and holds something else.

    Whether the sizes go together is seen once the layer is used.
    """
    for key in ("stride", "padding", "dilation"):
        if not all(isinstance(number, int) and not isinstance(number, bool) for number in _flat(layer[key])):
            sides = " or [[above, below], [left, right]]" if key == "padding" else ""
            raise ConfigFileError(f"{where}: {key} is {layer[key]!r}; it must be one number or [rows, columns]{sides}")


def _flat(value: Any) -> Iterator[Any]:
    """The numbers of a list of lists, or the value itself."""
    if isinstance(value, list):
        for one in value:
            yield from _flat(one)
    else:
        yield value


def check_network(suite: Mapping[str, Any], where: str) -> None:
    """Raises ConfigFileError unless the counts of a suite are of its layers, all of them, and every number is one."""
    if suite["batch"] is not None and suite["batch"] < 1:
        raise ConfigFileError(f"{where}: batch is {suite['batch']}; it must be a positive whole number")
    counts = suite["counts"]
    for layer in counts:
        if layer not in suite["layers"]:
            raise ConfigFileError(f"{where}: " + unknown("layer", layer, suite["layers"], " in counts"))
    if (counts or suite["unsupported"]) and (without := [layer for layer in suite["layers"] if layer not in counts]):
        raise ConfigFileError(f"{where}: counts lacks {without[0]}; say how often one forward pass runs each layer")
    numbers = [(layer, "count", count, 1) for layer, count in counts.items()]
    for entry in suite["unsupported"]:
        numbers += [(entry["layer"], "count", entry["count"], 1), (entry["layer"], "flops", entry["flops"], 0)]
    for layer, key, number, least in numbers:
        if number < least:
            raise ConfigFileError(
                f"{where}: {key} of {layer} is {number}; it must be a whole number of {least} or more"
            )
    names = [*suite["layers"], *(entry["layer"] for entry in suite["unsupported"])]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigFileError(f"{where}: {twice[0]} is there twice; write it once, with the count of both")


def check_needed(group: str, entry: Mapping[str, Any], where: str) -> None:
    """Raises ConfigFileError if a list is empty without which nothing can be measured.

    An experiment of whole networks needs no layers.
    """
    needed = ("protocol",) if group == "experiment" and entry["models"] else _NEEDED.get(group, ())
    for key in needed:
        if not entry[key]:
            raise ConfigFileError(f"{where}: {key} is empty; name at least one, as in {key}: [one, two]")


def check_look(about: Mapping[str, Any], where: str) -> None:
    """Raises BadValueError for a colour or a marker that cannot be drawn."""
    color, marker = about["color"], about["marker"]
    if not _COLOR.fullmatch(color):
        from matplotlib.colors import is_color_like  # takes long, and most files give a number

        if not is_color_like(color):
            raise BadValueError(f"{where}color is {color}; it must be 0 to 9, a grey level ('0.5') or as '#1f77b4'")
    if len(marker) != 1 or marker not in _MARKERS:
        raise BadValueError(f"{where}marker is {marker}; it must be one of Matplotlib's, such as o, s, ^, v, D or x")


def check_numbers(entry: Mapping[str, Any], where: str = "") -> None:
    """Raises BadValueError for a number of a protocol, an experiment's sampling, a device or a numeric class.

    `where` is what the message begins with, such as the file.
    """
    for key, (least, itself) in _LEAST.items():
        value = entry.get(key)
        if value is not None and not (math.isfinite(value) and (value > least or (itself and value == least))):
            bound = f"of {least:g} or more" if itself else f"above {least:g}"
            raise BadValueError(f"{where}{key} is {value}; it must be a number {bound}")

"""Convolution problems in one word, as oneDNN's benchmark benchdnn writes them: `ic64ih56oc64kh3ph1`.

    g groups             ic, oc channels        ih, iw input         kh, kw filter        oh, ow output
    mb batch             sh, sw stride          ph, pw padding       dh, dw dilation      n"name"

h stands for rows, w for columns; `_` may stand anywhere. What is left out for columns is as for rows; with columns
alone it is a convolution in one dimension, of a single row. Strides are 1 by default, and dilation counts the elements
that are left out between two taps: 0, the default, is what everybody else calls a dilation of 1. Padding is that
before the first element. As much follows the last one, unless another output size is given: then the padding after it
is what this size takes. If the output's size is given but no padding, both sides share what it takes.

oneDNN documents it in tests/benchdnn/doc/driver_conv.md; there a convolution may also have a depth.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .problem import Axis, ConvProblem, ProblemError

EXAMPLE = "ic64ih56oc64kh3ph1"
_KEYS = ("g", "mb", "ic", "ih", "iw", "oc", "oh", "ow", "kh", "kw", "sh", "sw", "ph", "pw", "dh", "dw")
_DEPTH = ("id", "od", "kd", "sd", "pd", "dd")
#: Keys by length, so that none is taken for the beginning of another.
_ENTRY = re.compile("(" + "|".join(sorted((*_KEYS, *_DEPTH), key=len, reverse=True)) + r")(\d+)")
_START = re.compile(r"_*" + _ENTRY.pattern)
_NAME = re.compile(r'n(?:"[^"]*"|[^"]*)\Z')


class Described(NamedTuple):
    """What a descriptor says: a layer, as `ConvProblem.from_layer` takes it, called by its normal form; and a batch."""

    layer: dict[str, Any]
    batch: int | None


def is_descriptor(text: str) -> bool:
    """Whether this begins as a descriptor does, with a key and a number."""
    return bool(_START.match(text))


def parse(text: str) -> Described:
    """Read a descriptor. Raises ProblemError, in one line, where it is none or there can be no such convolution."""
    found = _entries(text)
    if depth := [key for key in found if key in _DEPTH]:
        raise ProblemError(
            f"{text}: {depth[0]} is a depth, and convolutions in three dimensions are not supported; "
            "one in two has h and w, one in one dimension w alone"
        )
    for key in ("ic", "oc"):
        if key not in found:
            raise ProblemError(f"{text}: {key} is missing, the number of {_CHANNELS[key]} channels, as in {EXAMPLE}")
    is_1d = not any(key.endswith("h") for key in found)
    rows = Axis(1, 1) if is_1d else _axis(text, found, "h")
    columns = _axis(text, found, "w" if is_1d else "wh")
    try:
        problem = ConvProblem(
            batch=found.get("mb", 1),
            in_channels=found["ic"],
            height=rows.size,
            width=columns.size,
            out_channels=found["oc"],
            kernel_h=rows.kernel,
            kernel_w=columns.kernel,
            stride=(rows.stride, columns.stride),
            padding=((rows.before, rows.after), (columns.before, columns.after)),
            dilation=(rows.dilation, columns.dilation),
            groups=found.get("g", 1),
        )
    except ProblemError as error:
        raise ProblemError(f"{text}: {error}") from None
    return Described(layer_of(problem), found.get("mb"))


def normal_form(problem: ConvProblem) -> str:
    """The one descriptor by which a problem is called, whatever its batch.

    What follows from the rest is left out: columns that are as rows, the rows of a convolution in one dimension, values
    by default, and the output's size unless it tells the padding after the last element.
    """
    rows, columns = (_canonical(axis) for axis in (problem.rows, problem.columns))
    if rows == columns:
        axes = {"h": rows}
    elif rows == Axis(1, 1):
        axes = {"w": columns}
    else:
        axes = {"h": rows, "w": columns}
    uneven = any(axis.before != axis.after for axis in axes.values())
    groups = {"g": problem.groups} if problem.groups > 1 else {}
    entries: dict[str, int] = groups | {"ic": problem.in_channels}
    entries |= {f"i{end}": axis.size for end, axis in axes.items()}
    entries |= {"oc": problem.out_channels}
    if uneven:
        entries |= {f"o{end}": axis.outputs for end, axis in axes.items()}
    entries |= {f"k{end}": axis.kernel for end, axis in axes.items()}
    if any(axis.stride > 1 for axis in axes.values()):
        entries |= {f"s{end}": axis.stride for end, axis in axes.items()}
    if uneven or any(axis.before for axis in axes.values()):
        entries |= {f"p{end}": axis.before for end, axis in axes.items()}
    if any(axis.dilation > 1 for axis in axes.values()):
        entries |= {f"d{end}": axis.dilation - 1 for end, axis in axes.items()}
    return "".join(f"{key}{value}" for key, value in entries.items())


def layer_of(problem: ConvProblem) -> dict[str, Any]:
    """A problem as a layer called by its normal form: the keys and values of a file of conf/layer."""
    rows, columns = (_canonical(axis) for axis in (problem.rows, problem.columns))
    padding = [[axis.before, axis.after] for axis in (rows, columns)]
    if all(before == after for before, after in padding):
        padding = _short(*(before for before, _ in padding))
    return {
        "name": normal_form(problem),
        "in_channels": problem.in_channels,
        "height": rows.size,
        "width": columns.size,
        "out_channels": problem.out_channels,
        "kernel_h": rows.kernel,
        "kernel_w": columns.kernel,
        "stride": _short(rows.stride, columns.stride),
        "padding": padding,
        "dilation": _short(rows.dilation, columns.dilation),
        "groups": problem.groups,
    }


_CHANNELS = {"ic": "input", "oc": "output"}


def _entries(text: str) -> dict[str, int]:
    """Key -> number."""
    found: dict[str, int] = {}
    rest = text
    while rest := rest.lstrip("_"):
        entry = _ENTRY.match(rest)
        if entry is None:
            if _NAME.match(rest):
                break
            if rest.startswith("n"):
                raise ProblemError(f'{text}: the name at its end is not closed; write n"name", without a comma in it')
            raise ProblemError(
                f"{text}: nothing is known that begins with {rest!r}; "
                f'it may hold {" ".join(_KEYS)}, each with a number, and n"name", as in {EXAMPLE}'
            )
        key, number = entry[1], int(entry[2])
        if found.setdefault(key, number) != number:
            raise ProblemError(f"{text}: {key} is given twice, {found[key]} and {number}")
        rest = rest[entry.end() :]
    return found


def _axis(text: str, found: Mapping[str, int], ends: str) -> Axis:
    """One direction. Of several `ends` the first is its own; a value that is missing there is that of the next."""

    def given(letter: str) -> int | None:
        return next((found[letter + end] for end in ends if letter + end in found), None)

    size, kernel, output, before = (given(letter) for letter in "ikop")
    for letter, value, what in (("i", size, "input"), ("k", kernel, "filter")):
        if value is None:
            raise ProblemError(f"{text}: {letter}{ends[-1]} is missing, a size of the {what}, as in {EXAMPLE}")
        if value == 0:
            raise ProblemError(f"{text}: {letter}{ends[0]} is 0; a size is a positive integer")
    assert size is not None and kernel is not None
    stride, dilation = given("s"), (given("d") or 0) + 1
    if stride == 0:
        raise ProblemError(f"{text}: s{ends[0]} is 0; a stride is a positive integer")
    axis = Axis(size, kernel, 1 if stride is None else stride, dilation=dilation)
    if output is None:
        return _padded(axis, before or 0, before or 0)
    if output == 0:
        raise ProblemError(f"{text}: o{ends[0]} is 0; a size is a positive integer")
    taken = _span(axis, output) - size
    before = max(0, taken // 2) if before is None else before
    made = _canonical(_padded(axis, before, max(0, taken - before)))
    if made.outputs != output:
        raise ProblemError(f"{text}: o{ends[0]} is {output}, but the other sizes give {made.outputs} or more")
    return made


def _padded(axis: Axis, before: int, after: int) -> Axis:
    return Axis(axis.size, axis.kernel, axis.stride, before, after, axis.dilation)


def _span(axis: Axis, outputs: int) -> int:
    """The elements that so many outputs read, padding included."""
    return (outputs - 1) * axis.stride + axis.reach


def _canonical(axis: Axis) -> Axis:
    """The same direction without what changes no output: one form of what several spellings mean.

    Padding is even where that gives the same outputs, and else ends with the last element that is read. A window that
    has no second place has no stride, and a single tap no dilation.
    """
    axis = Axis(axis.size, axis.kernel, axis.stride, axis.before, axis.after, axis.dilation if axis.kernel > 1 else 1)
    even = _padded(axis, axis.before, axis.before)
    if even.padded < even.reach or even.outputs != axis.outputs:
        even = _padded(axis, axis.before, max(0, _span(axis, axis.outputs) - axis.size - axis.before))
    if even.padded > even.reach:
        return even
    return Axis(even.size, even.kernel, 1, even.before, even.after, even.dilation)


def _short(rows: int, columns: int) -> Any:
    return rows if rows == columns else [rows, columns]

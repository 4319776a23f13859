"""Stored winners: the tile and the schedule that were measured to be the fastest for a problem on a GPU.

`conf/tuning/<gpu>.yaml` holds them, written by `make tune` (workflow.tune). Where there is none for a problem, the rule
of kernels.tiles.tiled chooses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kernels.problem import ConvProblem
from kernels.tiles.tiled import Schedule
from workflow.experiment.catalog import CONF
from workflow.experiment.errors import BadValueError

FOLDER = CONF / "tuning"


def key(problem: ConvProblem) -> str:
    """A problem's name in the file: its sizes, by which alone a winner is found.

    A field that has a default is named only if it has another value, so that a new field renames no problem.
    """
    p = problem
    filters = f"{p.out_channels}x{p.kernel_h}x{p.kernel_w}"
    others = [
        f", {field.name} {_short(getattr(p, field.name))}"
        for field in dataclasses.fields(p)
        if field.name != "stride" and field.default not in (dataclasses.MISSING, getattr(p, field.name))
    ]
    return f"{p.batch}x{p.in_channels}x{p.height}x{p.width} * {filters} / {_short(p.stride)}{''.join(others)}"


def _short(value: Any) -> str:
    """A number, or the numbers of rows and of columns: one if both are the same."""
    if not isinstance(value, tuple):
        return str(value)
    rows, columns = (_short(one) for one in value)
    # Only of numbers: else ((0, 1), (0, 1)) would have the name of ((0, 0), (1, 1)).
    return rows if rows == columns and rows.isdigit() else f"({rows}, {columns})"


class Winners:
    """The winners of one GPU model."""

    def __init__(self, winners: Mapping[str, Mapping[str, Any]]) -> None:
        self._winners = winners

    def schedule(self, algorithm: str, problem: ConvProblem) -> dict[str, Any] | None:
        """The `schedule` parameter of `algorithm` for `problem`; None where nothing is stored."""
        found = self._winners.get(algorithm, {}).get(key(problem))
        return Schedule.from_parameters(found).to_parameters() if found else None


@cache
def read(device: str, folder: Path = FOLDER) -> Winners:
    """The winners stored for the GPU with this slug; none for a GPU that has not been tuned.

    Raises BadValueError if the file is not one of workflow.tune, or names a kernel that is not compiled.
    """
    path = folder / f"{device}.yaml"
    if not path.exists():
        return Winners({})
    try:
        winners = yaml.safe_load(path.read_text())["winners"]
        for entries in winners.values():
            for entry in entries.values():
                Schedule.from_parameters(entry)
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadValueError(
            f"conf/tuning/{path.name} is not a file of stored winners: {error}\n"
            "make it again (make tune), or delete it: without it a rule chooses the tiles"
        ) from error
    return Winners(winners)

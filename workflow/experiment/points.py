"""A point: one algorithm on one layer of one suite, at one batch, in one class of arithmetic."""

from __future__ import annotations

from typing import NamedTuple

from workflow.experiment.errors import BadValueError

#: The axes of a sweep, in the order of a point's path; a protocol is no part of a point, but an axis all the same.
AXES = ("suite", "numerics", "batch", "layer", "algorithm", "protocol")


class Point(NamedTuple):
    """One point, by names."""

    suite: str
    numerics: str
    batch: int
    layer: str
    algorithm: str

    @property
    def path(self) -> str:
        """Where its result lies, below the experiment's folder."""
        return f"{self.suite}/{self.numerics}/batch{self.batch}/{self.layer}/{self.algorithm}"


def positive(name: str, value: object) -> int:
    """A positive whole number. Raises BadValueError."""
    text = str(value)
    if not text.isdecimal() or int(text) < 1:
        raise BadValueError(f"{name} is {text}; it must be a positive whole number, such as {name}=64")
    return int(text)

"""What can be wrong with a request, each with a message that names the thing, the valid choices and the way out.

These are raised before any job runs; the Snakefile prints the message alone.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable


class RequestError(Exception):
    """Something asked for cannot be done; the message is meant for the user, as it is."""


class UnknownKeyError(RequestError):
    """A key of `--config` that does not exist."""


class UnknownNameError(RequestError):
    """A layer, algorithm, suite, protocol, numeric class or experiment that does not exist."""


class BadValueError(RequestError):
    """A value of the wrong kind, such as a batch that is not a positive whole number."""


class BadProblemError(RequestError):
    """A layer whose convolution cannot exist."""


class NoPointError(RequestError):
    """A selection that leaves nothing to measure."""


class BackendError(RequestError):
    """An algorithm asked for on a device that it does not run on."""


class GpuError(RequestError):
    """A GPU that does not exist, or several that cannot share one results table."""


class ConfigFileError(RequestError):
    """A file of conf/ that its schema rejects."""


class SourceError(RequestError):
    """A source file of an algorithm that is missing, or that is no Python."""


class BadArchiveError(RequestError):
    """An archive that is missing or damaged."""


class ResultError(RequestError):
    """A measured result that is damaged, or that belongs to another configuration."""


def unknown(kind: str, name: str, valid: Iterable[str], where: str = "") -> str:
    """A message for a `kind` of thing called `name` that is not among `valid`, with the nearest of them."""
    valid = list(valid)
    return f"unknown {kind} {name!r}{where}{nearest(name, valid)}\nvalid choices:\n{listed(valid)}"


def nearest(name: str, valid: Iterable[str]) -> str:
    """A question for the one of `valid` that is most like `name`; nothing if none is."""
    by_lower = {each.lower(): each for each in valid}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


def listed(names: Iterable[str]) -> str:
    """Names in indented lines of a terminal's width."""
    text = ", ".join(names) or "(there are none)"
    return textwrap.fill(text, 110, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)

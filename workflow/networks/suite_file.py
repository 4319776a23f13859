"""A network as a file of conf/suite."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from workflow.networks.convolutions import Entry

_WIDTH = 120


def render(name: str, found: Sequence[Entry], network: Mapping[str, Any], comment: str, batch: int) -> str:
    """The text of a suite's file. `network` has the fields of workflow.experiment.schema.Network that are not empty."""
    measured = [entry for entry in found if not entry.unsupported]
    others = [entry for entry in found if entry.unsupported]
    lines = [*_comment(comment), *_comment(summary(found)), *_SCHEMA, f"name: {_scalar(name)}", f"batch: {batch}"]
    lines += ["network:", *(line for key, value in network.items() for line in _field(key, value))]
    lines += ["counts:", *(f"  {entry.name}: {entry.count}  #{_modules(entry)}".rstrip(" #") for entry in measured)]
    if others:
        lines.append("unsupported:")
    for entry in others:
        values = {"layer": entry.name, "count": entry.count, "reason": entry.unsupported, "flops": entry.flops}
        lines += [f"  #{_modules(entry)}", f"  - {_scalar(values)}"]
    return "\n".join(lines) + "\n"


def summary(found: Sequence[Entry]) -> str:
    """How much there is to compute, and how much of it is unsupported."""
    flops = {
        kind: sum(entry.count * entry.flops for entry in found if bool(entry.unsupported) is kind)
        for kind in (False, True)
    }
    total = sum(flops.values())
    sizes, runs = len(found), sum(entry.count for entry in found)
    text = f"{total / 1e9:.4g} GFLOP an image, in {runs} convolutions of {sizes} sizes"
    if any(entry.unsupported for entry in found):
        share = 100 * flops[True] / total if total else 0
        reasons = dict.fromkeys(entry.unsupported for entry in found if entry.unsupported)
        text += f"; {share:.3g} % unsupported ({', '.join(reasons)})"
    return f"{text}."


_SCHEMA = ("defaults:", "  - /schema/suite@_here_", "  - _self_", "")


def _comment(text: str) -> list[str]:
    return [
        f"# {line}" for part in text.splitlines() for line in textwrap.wrap(part, _WIDTH - 2, break_on_hyphens=False)
    ]


def _modules(entry: Entry) -> str:
    """The first module that runs it, with a space before; nothing where a function of the model itself does."""
    return f" {entry.modules[0]}" if entry.modules and entry.modules[0] else ""


def _field(key: str, value: Any) -> list[str]:
    """A key of the network, a long text in several lines."""
    line = f"  {key}: {_scalar(value)}"
    if len(line) <= _WIDTH or not isinstance(value, str):
        return [line]
    return [f"  {key}: >-", *(f"    {part}" for part in textwrap.wrap(value, _WIDTH - 4, break_on_hyphens=False))]


def _scalar(value: Any) -> str:
    """A value in one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    return text.removesuffix("...\n").strip()

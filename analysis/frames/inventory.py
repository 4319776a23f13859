"""The tables that are not grids of numbers: the layers, what was not ok, the machine, the judged claims."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.claims import read_claims
from analysis.numbers import published
from analysis.numbers.series import Selection, layer_order
from analysis.numbers.verdicts import NOT_TESTABLE, SELECTED
from analysis.prose.reasons import layer_sizes
from analysis.table.archive import KEY, POINT_KEY, Archive
from analysis.writing.phrases import quantity
from analysis.writing.tables import Block, Table

VALUES = ("published", "measured")


def layers(archive: Archive) -> Table:
    """Tell the layers as they were measured; from the paper's table where the provenance does not hold them."""
    paper = published.layers()
    found = layer_sizes(archive)
    lines = []
    suites = archive.measurements[["suite", "layer"]].drop_duplicates().to_numpy().tolist()
    for suite in sorted({suite for suite, _ in suites}):
        for name in layer_order(layer for where, layer in suites if where == suite):
            sizes = found.get((suite, name))
            if sizes is None and suite == "paper_table" and name in paper.index:
                sizes = {c: int(paper.at[name, c]) for c in paper.columns if c != "padding"}
            line = {"suite": suite, "layer": name} | (sizes or {})
            if sizes:
                high = (sizes["height"] - sizes["kernel_h"]) // sizes["stride"] + 1
                wide = (sizes["width"] - sizes["kernel_w"]) // sizes["stride"] + 1
                work = 2 * sizes["out_channels"] * high * wide * sizes["in_channels"]
                line |= {"out_height": high, "out_width": wide}
                line["flop_per_image"] = work * sizes["kernel_h"] * sizes["kernel_w"]
            lines.append(line)
    kept = [c for c in paper.columns if c != "padding"]
    frame = pd.DataFrame(lines, columns=["suite", "layer", *kept, "out_height", "out_width", "flop_per_image"])
    frame = frame.astype({column: "Int64" for column in frame.columns[2:]})
    shown = [["-" if pd.isna(cell) else cell for cell in line] for line in frame.astype(object).to_numpy().tolist()]
    header = [column.replace("_", " ") for column in frame.columns]
    return Table("Layers (no padding)", frame, (Block(header, shown, texts=(0, 1)),))


def outcome(archive: Archive) -> Table:
    """List every row that is not ok, with its reason and its log."""
    bad = archive.measurements[archive.measurements["status"] != "ok"]
    frame = bad[[*KEY, "status", "reason"]].copy()
    points = archive.points()
    runs = [points.get(tuple(key), {}).get("run") or {} for key in bad[list(POINT_KEY)].to_numpy().tolist()]
    frame["log"] = [str(one.get("log", "")) for one in runs]
    title = "What is not ok"
    if frame.empty:
        return Table(title, frame, closing="Every row is ok.")
    header = ["algorithm", "status", "reason", "layers", "log (of the first)", "suite", "batches", "numerics"]
    return Table(title, frame, (Block(header, _alike(frame), texts=range(len(header))),))


def _alike(frame: pd.DataFrame) -> list[list[str]]:
    """One line for what is alike: the layers and batches of an algorithm with one status and reason, in any protocol.

    The reasons of incorrect results have their errors in them; they are alike, and the first is told.
    """
    first = frame.drop_duplicates(list(POINT_KEY)).copy()
    wrong = first["status"] == "incorrect"
    same = ["algorithm", "status", "suite", "numerics"]
    first["alike"] = first["reason"].mask(wrong, "")
    layers = first.groupby([*same, "alike", "batch"], sort=False).agg(
        layers=("layer", lambda names: " ".join(layer_order(names))),
        first=("layer", "first"),
        reason=("reason", "first"),
        log=("log", "first"),
    )
    lines = []
    for key, group in layers.reset_index().groupby([*same, "alike", "layers"], sort=False):
        algorithm, status, suite, numerics, _, names = key
        reason = group["reason"].iloc[0] or "no reason was recorded"
        if status == "incorrect":
            reason = f"{group['first'].iloc[0]}: {reason}"
        batches = " ".join(str(batch) for batch in sorted(group["batch"]))
        lines.append([algorithm, status, reason, names, group["log"].iloc[0] or "-", suite, batches, numerics])
    return lines


def machine(archive: Archive) -> Table:
    """Tell every environment of the provenance, and the machine's ceilings where they were measured."""
    lines: list[tuple[object, str, str]] = []
    for index, environment in enumerate(archive.provenance["environments"], start=1):
        lines += [(index, what, value) for what, value in _flatten(environment)]
    ceilings = archive.provenance.get("ceilings") or {}
    lines += [("", f"ceilings.{what}", value) for what, value in _flatten(ceilings)]
    frame = pd.DataFrame(lines, columns=["environment", "what", "value"])
    if frame.empty:
        return Table("Machine and software", frame, closing="The provenance holds no environment.")
    header = list(frame.columns)
    return Table("Machine and software", frame, (Block(header, frame.to_numpy().tolist(), texts=(0, 1, 2)),))


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat += _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            flat.append((f"{prefix}{key}", ", ".join(str(item) for item in value)))
        else:
            flat.append((f"{prefix}{key}", "not recorded" if value is None else str(value)))
    return flat


def claims(path: Path) -> Table:
    """Lay out a claims.csv of `analysis.claims`, a block per selection that can be tested. Raises ArchiveError."""
    judged = read_claims(path)
    blocks, untested = [], []
    for key, group in judged.groupby(list(SELECTED), sort=False):
        heading = f"{Selection(*key)} (experiment {key[0]})"
        if set(group["verdict"]) == {NOT_TESTABLE}:
            untested.append(key)
            continue
        rows = []
        for row in group.to_dict("records"):
            low, high = row.get("measured_low", float("nan")), row.get("measured_high", float("nan"))
            between = f"{quantity(low, row['unit'])} to {quantity(high, row['unit'])}" if low == low else "-"
            shown = [quantity(row[name], row["unit"]) for name in VALUES]
            rows.append([row["statement"], *shown, between, f"{row['layers']} of {row['layers_of']}", row["verdict"]])
        header = ["claim", "published", "measured", "95 % interval", "layers", "verdict"]
        blocks.append(Block(header, rows, texts=(0, 5), heading=heading))
    if untested:
        blocks.append(Block(list(SELECTED), untested, range(len(SELECTED)), "no claim is testable here"))
    return Table("Claims of the paper", judged, tuple(blocks))

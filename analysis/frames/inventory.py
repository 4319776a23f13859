"""The tables of the layers, of the rows that are not ok, of the machine and of the judged claims."""

from pathlib import Path

import pandas as pd

from analysis.numbers.judged import read_claims
from analysis.numbers.layers import layer_sizes, published_sizes
from analysis.numbers.series import Selection, layer_order
from analysis.numbers.verdicts import NOT_TESTABLE, SELECTED
from analysis.table.archive import Archive
from analysis.table.provenance import flatten
from analysis.table.schema import KEY, POINT_KEY
from analysis.table.sizes import OPTIONAL, PER_AXIS, SIZES, flops, output, said
from analysis.writing.phrases import quantity
from analysis.writing.tables import Block, Table

VALUES = ("published", "measured")


def layers(archive: Archive) -> Table:
    """List the layers with the sizes that were measured, or the paper's sizes where the provenance has none."""
    found = layer_sizes(archive)
    lines = []
    suites = archive.measurements[["suite", "layer"]].drop_duplicates().to_numpy().tolist()
    for suite in sorted({suite for suite, _ in suites}):
        for name in layer_order(layer for where, layer in suites if where == suite):
            sizes = found.get((suite, name)) or (published_sizes(name) if suite == "paper_table" else None)
            line = {"suite": suite, "layer": name} | (sizes or {})
            if sizes:
                high, wide = output(sizes)
                line |= {"out_height": high, "out_width": wide, "flop_per_image": flops(sizes)}
            lines.append(line)
    # The paper's layers have no padding, dilation or groups: these columns are there if a layer has any.
    more = [name for name in OPTIONAL if any(name in line for line in lines)]
    columns = ["suite", "layer", *SIZES, *more, "out_height", "out_width", "flop_per_image"]
    frame = pd.DataFrame(lines, columns=columns).fillna({name: OPTIONAL[name] for name in more})
    texts = [name for name in PER_AXIS if name in frame and not frame[name].map(_is_number).all()]
    frame = frame.astype({column: "Int64" for column in columns[2:] if column not in texts})
    for name in texts:
        frame[name] = frame[name].map(said, na_action="ignore")
    shown = [["-" if pd.isna(cell) else cell for cell in line] for line in frame.astype(object).to_numpy().tolist()]
    header = [column.replace("_", " ") for column in frame.columns]
    title = "Layers" if "padding" in more else "Layers (no padding)"
    return Table(title, frame, (Block(header, shown, texts=(0, 1)),))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def outcome(archive: Archive) -> Table:
    """List every row that is not ok, with its reason and its log."""
    bad = archive.measurements[archive.measurements["status"] != "ok"]
    frame = bad[[*KEY, "status", "reason"]].copy()
    points = archive.points()
    runs = [points.get(tuple(key), {}).get("run") or {} for key in bad[list(POINT_KEY)].to_numpy().tolist()]
    frame["log"] = [str(one.get("log", "")) for one in runs]
    title = "Rows that are not ok"
    if frame.empty:
        return Table(title, frame, closing="Every row is ok.")
    header = ["algorithm", "status", "reason", "layers", "log (of the first)", "suite", "batches", "numerics"]
    return Table(title, frame, (Block(header, _alike(frame), texts=range(len(header))),))


def _alike(frame: pd.DataFrame) -> list[list[str]]:
    """Merge rows that share algorithm, status and reason into one line with all their layers and batches.

    The protocol does not matter. Reasons of incorrect results differ in their errors alone: they count as the same, and
    the first is shown.
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
    """List every environment of the provenance, and the machine's ceilings if they were measured."""
    lines: list[tuple[object, str, str]] = []
    for index, environment in enumerate(archive.provenance["environments"], start=1):
        lines += [(index, what, value) for what, value in flatten(environment).items()]
    ceilings = archive.provenance.get("ceilings") or {}
    lines += [("", f"ceilings.{what}", value) for what, value in flatten(ceilings).items()]
    frame = pd.DataFrame(lines, columns=["environment", "what", "value"])
    if frame.empty:
        return Table("Machine and software", frame, closing="The provenance holds no environment.")
    header = list(frame.columns)
    return Table("Machine and software", frame, (Block(header, frame.to_numpy().tolist(), texts=(0, 1, 2)),))


def claims(path: Path) -> Table:
    """Make a table of a claims.csv, with a block for each selection that can be tested. Raises ArchiveError."""
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

"""Write the tables of a results table: TFLOPS, best cuDNN, memory, ablation, layers and the outcome of what is not ok.

    python -m analysis.tables --table FOLDER --output FOLDER      writes NAME.csv and NAME.md for each

A CSV holds every selection of the table (suite, batch, protocol, numeric class) with empty cells where there is no
number; its Markdown has a section for each, with the status in such cells.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from analysis import reference
from analysis.cli import run
from analysis.files import write_atomically
from analysis.series import (
    ABLATED,
    BEST_CUDNN,
    MIB,
    algorithm_order,
    label,
    layer_order,
    memory_metric,
    ratio,
    rows_of,
    selections,
    speed_unit,
    state_of,
    values,
    with_best_cudnn,
)
from analysis.table import KEY, POINT_KEY, Archive, read
from analysis.text import SHORT, SHORT_EXPLAINED, markdown_table, number

DAGGER = "†"
# The keys of rows whose numbers are marked, as older than today's sources.
Stale = frozenset[tuple[object, ...]]
FRESH: Stale = frozenset()


@dataclass(frozen=True, eq=False)
class Table:
    """One table: the frame behind its CSV, and its Markdown without a title."""

    title: str
    frame: pd.DataFrame
    markdown: str


def build(archive: Archive, stale: Stale = FRESH) -> dict[str, Table]:
    """Build every table by name; numbers of the rows in `stale` (KEY values) get a dagger in the Markdown."""
    grids = {
        "tflops": ("Speed", _speed_lines),
        "memory": ("Memory", _memory_lines),
        "ablation": ("Ablation of im2win", _ablation_lines),
    }
    tables = {name: _grid(archive, title, lines, stale) for name, (title, lines) in grids.items()}
    tables["best_cudnn"] = _best_cudnn(archive)
    tables["layers"] = _layers(archive)
    tables["outcome"] = _outcome(archive)
    return tables


@dataclass(frozen=True)
class _Line:
    """One line of a grid: an algorithm's numbers (`column` x `factor`), or a ratio to a baseline."""

    algorithm: str
    unit: str
    column: str
    factor: float = 1.0
    baseline: str = ""


def _speed_lines(rows: pd.DataFrame, kind: str) -> list[_Line]:
    unit, factor = speed_unit(kind)
    present = algorithm_order(rows["algorithm"])
    lines = [_Line(name, unit, "tflops", factor) for name in present]
    ours = [name for name in ("im2win", "cpu_im2win") if name in present]
    baselines = ("im2col_cublas", BEST_CUDNN, "direct", "cpu_im2col", "cpu_torch", "cpu_direct")
    return lines + [_Line(one, "x", "tflops", 1, base) for one in ours for base in baselines if base in present]


def _memory_lines(rows: pd.DataFrame, kind: str) -> list[_Line]:
    column = memory_metric(rows).column
    present = algorithm_order(rows["algorithm"])
    lines = [_Line(name, "MiB", column, 1 / MIB) for name in present]
    ours = [name for name in ("im2win",) if name in present]
    return lines + [
        _Line(one, "x", column, 1, base) for one in ours for base in ("im2col_cublas", BEST_CUDNN) if base in present
    ]


def _ablation_lines(rows: pd.DataFrame, kind: str) -> list[_Line]:
    unit, factor = speed_unit(kind)
    present = [name for name in ABLATED if name in set(rows["algorithm"])]
    if not present:
        return []
    lines = [_Line(name, unit, "tflops", factor) for name in ("im2win", *present)]
    return lines + [_Line("im2win", "x", "tflops", 1, name) for name in present]


def _grid(archive: Archive, title: str, lines_of: Callable[[pd.DataFrame, str], list[_Line]], stale: Stale) -> Table:
    """Lay lines (algorithms, ratios) over layers, for every selection; the last column is the mean over the layers."""
    frames, parts = [], []
    for selection in selections(archive.measurements):
        rows = with_best_cudnn(rows_of(archive.measurements, selection))
        layers = layer_order(rows["layer"])
        shown = []
        for line in lines_of(rows, archive.device_kind):
            numbers = _numbers(rows, line).reindex(layers)
            name = label(line.algorithm) + (f" / {label(line.baseline)}" if line.baseline else "")
            head = {**asdict(selection), "algorithm": line.algorithm, "over": line.baseline, "unit": line.unit}
            frames.append(pd.DataFrame([head | {one: float(numbers[one]) for one in layers}]))
            cells = [_cell(rows, line, layer, float(numbers[layer]), stale) for layer in layers]
            mean = f"{number(float(numbers.mean()))} ({numbers.count()})"
            shown.append([name, line.unit, *cells, mean if line.baseline else ""])
        if shown:
            metric = f"{memory_metric(rows).label}\n\n" if title == "Memory" else ""
            header = ["algorithm", "unit", *layers, "mean (layers)"]
            table = markdown_table(header, shown, texts=(0, 1))
            parts.append(f"#### {selection} (experiment {selection.experiment})\n\n{metric}{table}")
    if not frames:
        return Table(title, pd.DataFrame(columns=[*KEY, "unit"]), "This table holds none of these algorithms.\n")
    frame = pd.concat(frames, ignore_index=True)
    heads = ["experiment", "suite", "batch", "protocol", "numerics", "algorithm", "over", "unit"]
    frame = frame[heads + layer_order(column for column in frame.columns if column not in heads)]
    return Table(title, frame, "\n".join(parts) + f"\n{SHORT_EXPLAINED}.\n")


def _numbers(rows: pd.DataFrame, line: _Line) -> pd.Series:
    if line.baseline:
        return ratio(rows, line.algorithm, line.baseline, line.column)
    return values(rows, line.algorithm, line.column) * line.factor


def _cell(rows: pd.DataFrame, line: _Line, layer: str, value: float, stale: Stale) -> str:
    involved = [line.algorithm, line.baseline] if line.baseline else [line.algorithm]
    if value != value:
        states = [state_of(rows, layer, name, line.column)[1] for name in involved]
        return "" if line.baseline else SHORT.get(states[0], states[0])
    keys = rows[(rows["layer"] == layer) & rows["algorithm"].isin(involved)]
    keys = keys.assign(algorithm=keys["chosen"])[list(KEY)]  # the best cuDNN is as old as the one that was chosen
    return number(value) + (DAGGER if any(tuple(key) in stale for key in keys.to_numpy().tolist()) else "")


def _best_cudnn(archive: Archive) -> Table:
    frames, parts = [], []
    for selection in selections(archive.measurements):
        rows = with_best_cudnn(rows_of(archive.measurements, selection))
        best = rows[rows["algorithm"] == BEST_CUDNN].set_index("layer")
        layers = layer_order(best.index)
        if not layers:
            continue
        best = best.reindex(layers).reset_index().astype({"workspace_bytes": "Int64"})
        columns = ["layer", "chosen", "status", "time_ms", "tflops", "workspace_bytes", "reason"]
        frames.append(pd.DataFrame([asdict(selection)] * len(best)).join(best[columns]))
        lines = [
            [row["layer"], label(row["chosen"]) if row["chosen"] else row["reason"], number(row["tflops"])]
            for _, row in best.iterrows()
        ]
        table = markdown_table(["layer", "fastest cuDNN algorithm", "TFLOPS"], lines, texts=(0, 1))
        parts.append(f"#### {selection} (experiment {selection.experiment})\n\n{table}")
    if not frames:
        return Table("Best cuDNN per layer", pd.DataFrame(columns=["layer"]), "This table holds no cuDNN rows.\n")
    return Table("Best cuDNN per layer", pd.concat(frames, ignore_index=True), "\n".join(parts))


def _layers(archive: Archive) -> Table:
    """Tell the layers as they were measured; from the paper's table where the provenance does not hold them."""
    paper = reference.layers()
    found: dict[tuple[str, str], dict[str, int]] = {}
    for point in archive.provenance["points"]:
        config = point.get("config") or {}
        layer = config.get("layer", config)
        if isinstance(layer, dict) and all(column in layer for column in paper.columns if column != "padding"):
            found[point["suite"], point["layer"]] = {c: int(layer[c]) for c in paper.columns if c != "padding"}
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
    return Table("Layers (no padding)", frame, markdown_table(header, shown, texts=(0, 1)))


def _outcome(archive: Archive) -> Table:
    """List every row that is not ok, with its reason and its log."""
    bad = archive.measurements[archive.measurements["status"] != "ok"]
    frame = bad[[*KEY, "status", "reason"]].copy()
    points = archive.points()
    runs = [points.get(tuple(key), {}).get("run") or {} for key in bad[list(POINT_KEY)].to_numpy().tolist()]
    frame["log"] = [str(one.get("log", "")) for one in runs]
    if frame.empty:
        return Table("What is not ok", frame, "Every row is ok.\n")
    # People get one line for what is alike: the layers of an algorithm with the same reason, whatever the protocol.
    alike = ["algorithm", "status", "reason", "suite", "batch", "numerics"]
    lines = []
    for key, group in frame.groupby(alike, sort=False):
        algorithm, status, reason, *where = key
        layers = " ".join(layer_order(group["layer"]))
        log = group["log"].iloc[0] or "-"
        lines.append([algorithm, status, reason or "no reason was recorded", layers, log, *where])
    header = ["algorithm", "status", "reason", "layers", "log (of the first)", "suite", "batch", "numerics"]
    return Table("What is not ok", frame, markdown_table(header, lines, texts=range(len(header))))


def main() -> None:
    """Write the tables of one results table."""
    parser = argparse.ArgumentParser(prog="python -m analysis.tables", description="Write the tables.")
    parser.add_argument("--table", type=Path, required=True, help="folder with measurements.csv")
    parser.add_argument("--output", type=Path, required=True, help="folder for the tables")
    arguments = parser.parse_args()
    archive = read(arguments.table)
    for name, table in build(archive).items():
        content = table.frame.to_csv(index=False, lineterminator="\n", float_format="%.6g")
        write_atomically(arguments.output / f"{name}.csv", content)
        title = f"# {table.title}: measured on {archive.device_name}\n\n"
        write_atomically(arguments.output / f"{name}.md", title + table.markdown)


if __name__ == "__main__":
    run(main)

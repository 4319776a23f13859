"""The tables with a column for each layer (speed, memory, ablation), and the best cuDNN of each layer."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from analysis.numbers.algorithms import (
    BEST_CUDNN,
    YARDSTICKS,
    about,
    every_ablation,
    in_order,
    in_paper,
    is_cudnn,
    label,
    paper,
)
from analysis.numbers.series import (
    MIB,
    NOT_MEASURED,
    Selection,
    constant_memory,
    divide,
    geometric_mean,
    headline,
    layer_order,
    memory_baselines,
    memory_metric,
    ratio,
    rows_of,
    selections,
    speed_unit,
    state,
    values,
    with_best_cudnn,
)
from analysis.table.archive import Archive
from analysis.table.schema import KEY
from analysis.writing.phrases import SHORT, SHORT_EXPLAINED, names, number, plural
from analysis.writing.tables import DAGGER, Block, Table

#: The keys of the rows whose numbers are marked as older than today's sources.
Stale = frozenset[tuple[object, ...]]
FRESH: Stale = frozenset()


def build(archive: Archive, stale: Stale = FRESH) -> dict[str, Table]:
    """Build these tables by name; numbers of the rows in `stale` (KEY values) get a dagger in the Markdown."""
    grids = {
        "tflops": ("Speed", _speed_lines),
        "memory": ("Memory", _memory_lines),
        "ablation": ("Ablation of im2win", _ablation_lines),
    }
    found = {one: with_best_cudnn(rows_of(archive.measurements, one)) for one in selections(archive.measurements)}
    tables = {name: _grid(archive, found, title, lines, stale) for name, (title, lines) in grids.items()}
    tables["best_cudnn"] = _best_cudnn(found)
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
    lines = [_Line(name, unit, "tflops", factor) for name in in_order(rows["algorithm"])]
    return lines + _ratios(rows, paper(kind), in_paper(kind), "tflops")


def _memory_lines(rows: pd.DataFrame, kind: str) -> list[_Line]:
    column = memory_metric(rows).column
    lines = [_Line(name, "MiB", column, 1 / MIB) for name in in_order(rows["algorithm"])]
    return lines + _ratios(rows, paper(kind), memory_baselines(kind), column)


def _ablation_lines(rows: pd.DataFrame, kind: str) -> list[_Line]:
    unit, factor = speed_unit(kind)
    whole, present = paper(), [name for name in every_ablation() if name in set(rows["algorithm"])]
    if not present:
        return []
    lines = [_Line(name, unit, "tflops", factor) for name in (whole, *present)]
    return lines + [_Line(whole, "x", "tflops", 1, name) for name in present]


def _ratios(rows: pd.DataFrame, algorithm: str, baselines: Iterable[str], column: str) -> list[_Line]:
    """Make a line for the ratio to each baseline that was measured; none if the algorithm was not."""
    present = set(rows["algorithm"])
    compared = [name for name in baselines if name in present and name != algorithm] if algorithm in present else []
    return [_Line(algorithm, "x", column, 1, name) for name in compared]


def _grid(
    archive: Archive,
    rows_by_selection: Mapping[Selection, pd.DataFrame],
    title: str,
    lines_of: Callable[[pd.DataFrame, str], list[_Line]],
    stale: Stale,
) -> Table:
    """Build a table with a block per selection, a row per line and a column per layer; the last one is the mean."""
    lined, blocks = [], []
    for selection, rows in rows_by_selection.items():
        found = {(row["layer"], row["algorithm"]): row for row in rows.to_dict("records")}
        layers = layer_order(rows["layer"])
        shown = []
        for line in lines_of(rows, archive.device_kind):
            numbers = _numbers(rows, line).reindex(layers)
            name = label(line.algorithm) + (f" / {label(line.baseline)}" if line.baseline else "")
            head = {**asdict(selection), "algorithm": line.algorithm, "over": line.baseline, "unit": line.unit}
            lined.append(head | {one: float(numbers[one]) for one in layers})
            cells = [_cell(found, line, layer, float(numbers[layer]), stale) for layer in layers]
            mean = f"{number(geometric_mean(numbers.dropna()))} ({numbers.count()})"
            shown.append([name, line.unit, *cells, mean if line.baseline else ""])
        if shown:
            metric = memory_metric(rows).label if title == "Memory" else ""
            if metric and (constant := constant_memory(archive, rows)):
                metric += f"; {constant}"
            header = ["algorithm", "unit", *layers, "geometric mean (layers)"]
            heading = f"{selection} (experiment {selection.experiment})"
            blocks.append(Block(header, shown, (0, 1), heading, metric))
    if not lined:
        empty = pd.DataFrame(columns=[*KEY, "unit"])
        return Table(title, empty, closing="This table holds none of these algorithms.")
    frame = pd.DataFrame(lined)
    heads = ["experiment", "suite", "batch", "protocol", "numerics", "algorithm", "over", "unit"]
    frame = frame[heads + layer_order(column for column in frame.columns if column not in heads)]
    return Table(title, frame, tuple(blocks), f"{SHORT_EXPLAINED}.")


def _numbers(rows: pd.DataFrame, line: _Line) -> pd.Series:
    if line.baseline:
        return ratio(rows, line.algorithm, line.baseline, line.column)
    return values(rows, line.algorithm, line.column) * line.factor


def _cell(
    found: Mapping[tuple[str, str], dict[Hashable, Any]], line: _Line, layer: str, value: float, stale: Stale
) -> str:
    involved = [line.algorithm, line.baseline] if line.baseline else [line.algorithm]
    rows = [found[layer, name] for name in involved if (layer, name) in found]
    if value != value:
        status = state(rows[0], line.column)[1] if rows else NOT_MEASURED
        return "" if line.baseline else SHORT.get(status, status)
    # The best cuDNN is stale if the algorithm that was chosen is.
    keys = [tuple((row | {"algorithm": row["chosen"]})[column] for column in KEY) for row in rows]
    return number(value) + (DAGGER if any(key in stale for key in keys) else "")


def against_best(archive: Archive) -> Table:
    """Compare every algorithm that a user might choose with the yardstick of the headline, at each batch.

    An algorithm of another class of arithmetic is compared with the yardstick in strict FP32 too.
    """
    (selection, rows), kind = headline(archive), archive.device_kind
    yardstick = YARDSTICKS[kind]
    unit, factor = speed_unit(kind)
    of_suite = archive.measurements[archive.measurements["suite"] == selection.suite]
    batches = sorted(int(batch) for batch in of_suite["batch"].unique())
    best = {one: _speeds(archive, replace(selection, batch=one), yardstick) for one in batches}
    lines, shown = [], []
    for numerics in sorted(set(archive.measurements["numerics"]), key=lambda one: (one != selection.numerics, one)):
        of_class = rows_of(archive.measurements, replace(selection, numerics=numerics))
        for name in in_order(of_class["algorithm"]):
            if not about(name).is_candidate or is_cudnn(name) or name == yardstick:
                continue
            speed = values(of_class, name, "tflops") * factor
            over = {
                one: divide(_speeds(archive, replace(selection, batch=one, numerics=numerics), name), best[one])
                for one in batches
            }
            lines.append(
                {"algorithm": name, "numerics": numerics}
                | {f"over_at_batch_{one}": geometric_mean(over[one]) for one in batches}
            )
            shown.append([label(name), numerics, _span(speed), *(_over(over[one]) for one in batches)])
    closing = ""
    chosen = rows[(rows["algorithm"] == BEST_CUDNN) & (rows["status"] == "ok")]["chosen"]
    if len(chosen):
        counts = chosen.value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")
        parts = names(f"{label(name)} on {plural(count, 'layer')}" for name, count in counts.items())
        closing = f"At batch {selection.batch} the best cuDNN is {parts}."
    header = ["algorithm", "class", f"{unit} at batch {selection.batch}", *(f"batch {one}" for one in batches)]
    note = (
        f"Relative to {label(yardstick)} in {selection.numerics}, in the geometric mean, and on how many layers faster."
    )
    title = f"Every algorithm against {label(yardstick)}"
    return Table(title, pd.DataFrame(lines), (Block(header, shown, (0, 1, 2), note=note),) if shown else (), closing)


def _speeds(archive: Archive, selection: Selection, algorithm: str) -> pd.Series:
    return values(with_best_cudnn(rows_of(archive.measurements, selection)), algorithm, "tflops")


def _span(speed: pd.Series) -> str:
    if speed.empty:
        return "-"
    return f"{number(speed.min())} ({speed.idxmin()}) to {number(speed.max())} ({speed.idxmax()})"


def _over(over: pd.Series) -> str:
    return f"{number(geometric_mean(over))}x, {(over > 1).sum()} of {len(over)}" if len(over) else "-"


def _best_cudnn(rows_by_selection: Mapping[Selection, pd.DataFrame]) -> Table:
    frames, blocks = [], []
    for selection, rows in rows_by_selection.items():
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
        header = ["layer", "fastest cuDNN algorithm", "TFLOPS"]
        blocks.append(Block(header, lines, (0, 1), f"{selection} (experiment {selection.experiment})"))
    title = "Best cuDNN per layer"
    if not frames:
        return Table(title, pd.DataFrame(columns=["layer"]), closing="This table holds no cuDNN rows.")
    return Table(title, pd.concat(frames, ignore_index=True), tuple(blocks))

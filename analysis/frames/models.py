"""Whole networks that were timed: the figure of their speed over PyTorch's FP32, and the table of all times."""

from collections.abc import Set

import pandas as pd

from analysis.frames.common import Panel, Picture
from analysis.frames.networks import SPEED_COLUMNS
from analysis.numbers.models import BASE, EAGER, GRAPH, SIDES, Speedup, in_order, label, models, speedups
from analysis.numbers.series import geometric_mean
from analysis.table.archive import Archive
from analysis.table.companions import MODEL_COLUMNS, key_of
from analysis.writing.phrases import SHORT, SHORT_EXPLAINED, names, number, plural
from analysis.writing.tables import DAGGER, Block, Table

TITLE = "Whole networks"
NONE = "this table holds no whole networks (models.csv; snakemake --config experiment=models times them)"
#: Mode, and whether the largest batch: the panels of the figure, with their titles.
PANELS = {(EAGER, True): "largest batch, eager", (GRAPH, False): "smallest batch, CUDA graph"}
_FRESH: frozenset[tuple[object, ...]] = frozenset()


def overview(archive: Archive) -> Picture:
    """Speed of ours, of PyTorch's faster FP32 interface and of TF32 over PyTorch's FP32: a line for each network."""
    title = f"{TITLE} on {archive.device_name}"
    rows, panels, said = models(archive), [], []
    for (mode, largest), what in PANELS.items():
        found = speedups(rows, mode, largest)
        if found:
            panels.append(_panel(found, what))
            said.append(f"{what}: {_means(found)}")
    if not panels:
        return Picture(title, note=NONE)
    caption = (
        f"Speed of a forward pass over PyTorch in FP32 as it comes (cuDNN's autotuner on); above 1 it is faster. "
        "Times are the host's, launches included, of the network with random weights. Bars reach from the least to the "
        f"largest ratio within both 95 % intervals. Geometric means, {'; '.join(said)}."
    )
    return Picture(title, tuple(panels), caption)


def _panel(found: list[Speedup], what: str) -> Panel:
    lines = [
        (f"{one.model}, {one.batch}", one.side, SIDES[one.side].label, one.value, one.low, one.high) for one in found
    ]
    return Panel(what, "", pd.DataFrame(lines, columns=list(SPEED_COLUMNS)), x_axis="speed over PyTorch FP32")


def _means(found: list[Speedup]) -> str:
    means = []
    for side, one in SIDES.items():
        values = [each.value for each in found if each.side == side]
        if values:
            means.append(f"{number(geometric_mean(pd.Series(values)))}x {one.label} ({plural(len(values), 'network')})")
    return names(means)


def build(archive: Archive, stale: Set[tuple[object, ...]] = _FRESH) -> Table:
    """Make the table of all rows; numbers of the rows in `stale` (MODEL_KEY values) get a dagger in the Markdown."""
    rows = models(archive)
    if rows.empty:
        return Table(TITLE, pd.DataFrame(columns=[*MODEL_COLUMNS, "speedup"]), closing=f"{NONE[:1].upper()}{NONE[1:]}.")
    backends = in_order(rows["backend"])
    header = ["network", "batch", "mode", *(f"{label(name)}, ms" for name in backends)]
    header += [f"error, {label(name)}" for name in backends if name == BASE or not name.startswith(BASE)]
    header.append(f"peak MiB, {label(BASE)} / {label(backends[-1])}")
    cells = []
    for (model, batch, mode), every in rows.groupby(["model", "batch", "mode"], sort=False):
        there = {row["backend"]: row for row in every.to_dict("records")}
        line = [model, batch, mode, *(_time(there.get(name), stale) for name in backends)]
        compared = [name for name in backends if name == BASE or not name.startswith(BASE)]
        line += [_error(there.get(name)) for name in compared]
        peaks = [there[name]["peak_bytes"] if name in there else float("nan") for name in (BASE, backends[-1])]
        cells.append([*line, " / ".join("-" if peak != peak else f"{peak / 2**20:.0f}" for peak in peaks)])
    closing = (
        "Times of a forward pass, the host's, launches included; in brackets the speed over PyTorch FP32. An error is "
        f"||y - y64|| / ||y64|| of the network's output. {SHORT_EXPLAINED}."
    )
    bad = rows[rows["status"] != "ok"]
    if len(bad):
        reasons = names(dict.fromkeys(bad["reason"]))
        closing += f" {len(bad)} of {plural(len(rows), 'row')} are not ok: {reasons}."
    if any(key_of(row) in stale for row in rows.to_dict("records")):
        closing += f" {DAGGER}: the sources have changed since."
    return Table(TITLE, rows, (Block(header, cells, texts=(0, 2)),), closing)


def _time(row: dict[str, object] | None, stale: Set[tuple[object, ...]]) -> str:
    if row is None:
        return "-"
    if row["status"] != "ok":
        return SHORT.get(str(row["status"]), str(row["status"]))
    over = "" if row["backend"] == BASE or row["speedup"] != row["speedup"] else f" ({number(float(row['speedup']))}x)"  # type: ignore[arg-type]
    return f"{number(float(row['time_ms']))}{over}{DAGGER if key_of(row) in stale else ''}"  # type: ignore[arg-type]


def _error(row: dict[str, object] | None) -> str:
    return "-" if row is None or row["status"] != "ok" else f"{row['error_fro']:.1e}"

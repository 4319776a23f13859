"""Frames of speed against memory and accuracy, and the roofline."""

from collections.abc import Sequence

import pandas as pd

from analysis.frames.common import Panel, Picture, classes, other_class
from analysis.numbers.algorithms import YARDSTICKS, about, ceilings, in_order, label, ours, paper, shown
from analysis.numbers.series import (
    COUNTED,
    geometric_mean,
    headline,
    layer_order,
    rows_of,
    speed_unit,
    values,
    with_accurate,
)
from analysis.table.archive import Archive
from analysis.writing.phrases import names, number, plural

#: The factor by which the lines of a roofline extend beyond the intensities of the layers.
MARGIN = 1.25
#: Explains the ceiling at a third of the FP16 peak.
THIRD = " Error compensation takes three FP16 products for one, hence the third."
POINT_COLUMNS = ("algorithm", "layer", "x", "y", "name")


def memory_speed(archive: Archive) -> Picture:
    """Memory, as a multiple of the tensors, against speed over the best cuDNN; the rows of the means have no layer."""
    selection, rows = headline(archive)
    baseline = YARDSTICKS[archive.device_kind]
    title = f"Memory against speed on {archive.device_name}"
    best = values(rows, baseline, "tflops")
    rows = with_accurate(archive, selection, rows)
    found: list[tuple[str, str, float, float, str]] = []
    for algorithm in in_order(rows["algorithm"]):
        if not about(algorithm).is_candidate:
            continue
        memory = values(rows, algorithm, COUNTED.column) / values(rows, algorithm, "tensor_bytes")
        pair = pd.DataFrame({"x": memory, "y": values(rows, algorithm, "tflops") / best}).dropna()
        if pair.empty:
            continue
        name = f"{label(algorithm)} ({len(pair)})"
        ordered = pair.reindex(layer_order(pair.index))
        found += [(algorithm, layer, x, y, name) for layer, x, y in ordered.itertuples()]
        found.append((algorithm, "", geometric_mean(pair["x"]), geometric_mean(pair["y"]), name))
    if not found:
        return Picture(title, note="no algorithm has both a counted memory and a speed beside the baseline's")
    frame = pd.DataFrame(found, columns=list(POINT_COLUMNS))
    means = frame[frame["layer"] == ""].set_index("algorithm")
    caption = f"Tensors and workspace as a multiple of the tensors alone, against the speed over {label(baseline)} "
    caption += f"({selection}). Large marks are geometric means over the layers, small ones the layers."
    for name in (paper(archive.device_kind), *ours(archive.device_kind)):
        if name in means.index:
            mine = means.loc[name]
            caption += f" {label(name)} takes {number(mine['x'])}x the tensors at {number(mine['y'])}x the speed."
    caption += other_class(frame)
    panel = Panel(str(selection), f"speed / {label(baseline)}", frame, x_axis="(tensors + workspace) / tensors")
    return Picture(title, (panel,), caption)


def accuracy(archive: Archive) -> Picture:
    """Error against speed, a panel for each numeric class of the table."""
    selection, _ = headline(archive)
    unit, factor = speed_unit(archive.device_kind)
    title = f"Accuracy against speed on {archive.device_name}"
    panels, said = [], []
    for one in classes(archive, selection):
        rows, numerics = rows_of(archive.measurements, one), one.numerics
        good = rows[(rows["status"] == "ok") & (rows["error_fro"] > 0)]
        good = good[good["algorithm"].map(lambda name: about(name).is_candidate).astype(bool)]
        if good.empty:
            continue
        parts = []
        for algorithm in in_order(good["algorithm"]):
            points = good[good["algorithm"] == algorithm].set_index("layer")
            points = points.reindex(layer_order(points.index)).reset_index()
            part = {"algorithm": algorithm, "layer": points["layer"], "x": points["error_fro"]}
            parts.append(pd.DataFrame(part | {"y": points["tflops"] * factor, "name": label(algorithm)}))
        frame = pd.concat(parts, ignore_index=True)
        low, high = frame.loc[frame["x"].idxmin()], frame.loc[frame["x"].idxmax()]
        said.append(
            f"in {numerics} from {low['x']:.1e} ({low['name']}, {low['layer']}) to {high['x']:.1e} "
            f"({high['name']}, {high['layer']})"
        )
        panels.append(Panel(numerics, unit, frame, x_axis="relative error (Frobenius) against float64"))
    if not panels:
        return Picture(title, note="no row that is ok has an error above zero")
    where = f"{selection.suite}, batch {selection.batch}, {selection.protocol}"
    caption = f"Relative error against float64 and speed, a point per layer ({where}). The error is {names(said)}."
    return Picture(title, tuple(panels), caption)


def roofline(archive: Archive) -> Picture:
    """Arithmetic intensity (FLOPs over the bytes of the tensors) against speed, beside the machine's ceilings.

    The first panel holds the points, the second one the ends of the ceilings' lines, drawn into the same axes.
    """
    selection, rows = headline(archive)
    unit, factor = speed_unit(archive.device_kind)
    title = f"Roofline on {archive.device_name}"
    found = []
    rows = with_accurate(archive, selection, rows)
    for algorithm in shown(archive.device_kind, rows["algorithm"]):
        speed, time = values(rows, algorithm, "tflops"), values(rows, algorithm, "time_ms")
        intensity = speed * time * 1e9 / values(rows, algorithm, "tensor_bytes")
        pair = pd.DataFrame({"x": intensity, "y": speed * factor}).dropna()
        ordered = pair.reindex(layer_order(pair.index))
        found += [(algorithm, layer, x, y, label(algorithm)) for layer, x, y in ordered.itertuples()]
    if not found:
        return Picture(title, note="no row that is ok has both a speed and its tensors' bytes")
    frame = pd.DataFrame(found, columns=list(POINT_COLUMNS))
    flats, slope, said = _ceilings(archive, rows, unit, factor)
    span = frame.drop_duplicates("layer").set_index("layer")["x"]
    caption = f"Speed against arithmetic intensity ({selection}): the FLOPs of the direct convolution over the bytes "
    caption += f"of input, filter and output, {number(span.min())} ({span.idxmin()}) to {number(span.max())} FLOP/byte "
    caption += f"({span.idxmax()}). {said} An algorithm that computes less (FFT, Winograd) may lie above a ceiling."
    mine = frame[frame["algorithm"] == paper(archive.device_kind)].set_index("layer")["y"]
    if not mine.empty and flats:
        reached = 100 * mine / flats[0][1]
        span_of_it = f"{number(reached.min())} to {number(reached.max())} %"
        caption += f" {label(paper(archive.device_kind))} reaches {span_of_it} of the {flats[0][0].partition(',')[0]}."
    caption += other_class(frame)
    ceilings = _roof(flats, slope, float(span.min()) / MARGIN, float(span.max()) * MARGIN)
    points = Panel(str(selection), unit, frame, x_axis="arithmetic intensity, FLOP/byte")
    return Picture(title, (points, Panel("", "", ceilings)), caption)


Ceiling = tuple[str, float]


def _ceilings(
    archive: Archive, rows: pd.DataFrame, unit: str, factor: float
) -> tuple[list[Ceiling], Ceiling | None, str]:
    """Find the ceilings of arithmetic (`unit`) and of memory (`unit` per FLOP/byte), and write their sentence."""
    measured = archive.provenance.get("ceilings") or {}
    flats, slope = [], None
    kinds = {"fp32_flops": ("measured FP32 peak", 1)}
    on_tensor_cores = [name for name in in_order(rows["algorithm"]) if about(name).arithmetic == "fp16x3"]
    if any(not values(rows, name, "tflops").empty for name in on_tensor_cores):
        kinds["fp16_flops"] = ("a third of the measured FP16 peak", 3)
    for kind, (name, products) in kinds.items():
        if kind in measured:
            peak = float(measured[kind]) / 1e12 * factor / products
            flats.append((f"{name}, {number(peak)} {unit}", peak))
    if "copy_bytes_per_s" in measured:
        rate = float(measured["copy_bytes_per_s"]) / 1e12
        slope = (f"measured copies, {number(rate)} TB/s", rate * factor)
    if flats or slope:
        said = f"The ceilings of this machine: {names(one[0] for one in (*flats, slope) if one)}."
        return flats, slope, said + (THIRD if "fp16_flops" in kinds and "fp16_flops" in measured else "")
    found = [(name, values(rows, name, "tflops") * factor) for name in ceilings()]
    name, gemm = next(((name, speed) for name, speed in found if not speed.empty), ("", None))
    if gemm is None:
        return [], None, "No ceiling of this machine was measured."
    what = label(name).partition(",")[0]
    best = f"best {what} of these shapes, {number(gemm.max())} {unit} ({gemm.idxmax()})"
    said = (
        f"The line is the {best}, of {plural(len(gemm), 'layer')}: no ceiling of the machine itself was measured, so "
    )
    return [(best, float(gemm.max()))], None, said + "there is no line for its memory."


def _roof(flats: Sequence[Ceiling], slope: Ceiling | None, low: float, high: float) -> pd.DataFrame:
    """Compute the ends of the ceilings' lines between two intensities; flat ones begin at the sloping one."""
    ridges = [min(max(peak / slope[1], low), high) if slope else low for _, peak in flats]
    ends = [(name, x, peak) for (name, peak), ridge in zip(flats, ridges, strict=True) for x in (ridge, high)]
    if slope:
        ends += [(slope[0], x, slope[1] * x) for x in (low, max(ridges, default=high))]
    return pd.DataFrame(ends, columns=["name", "x", "y"])

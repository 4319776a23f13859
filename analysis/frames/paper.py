"""Frames of the paper's figures: TFLOPS, memory and ablation on each layer, with the authors' log below."""

import pandas as pd

from analysis.frames.common import FRAME_COLUMNS, Panel, Picture, cells, compared, missing
from analysis.numbers import algorithms, published
from analysis.numbers.algorithms import label
from analysis.numbers.series import (
    MIB,
    constant_memory,
    decisive_layer,
    geometric_mean,
    headline,
    layer_order,
    memory_baselines,
    memory_metric,
    pick,
    ratio,
    rows_of,
    speed_unit,
    values,
)
from analysis.table.archive import Archive
from analysis.writing.phrases import names, number, plural

AUTHORS = "the authors' log (GPU not named; batch 64, conv4 with 32 channels)"


def tflops(archive: Archive) -> Picture:
    """Speed per layer, end to end if it was measured, and as the authors logged it."""
    selection, rows = headline(archive)
    drawn, name = algorithms.in_paper(archive.device_kind), algorithms.paper(archive.device_kind)
    unit, factor = speed_unit(archive.device_kind)
    measured = Panel(_measured(archive, selection), unit, cells(rows, drawn, "tflops", factor))
    speed = values(rows, name, "tflops") * factor
    caption = f"Speed on each layer ({selection}). {_flops(archive)} "
    if speed.empty:
        caption += f"{label(name)} was ok on no layer."
    else:
        span = f"{number(speed.min())} ({speed.idxmin()}) to {number(speed.max())} {unit} ({speed.idxmax()})"
        others = compared(rows, name, [one for one in drawn if one != name])
        caption += f"{label(name)} reaches {span}" + (f"; it is {others}." if others else ".")
    authors = [] if archive.device_kind == "cpu" else [_authors_tflops(drawn)]
    return _picture(archive, "Speed", [measured, *authors], caption)


def memory(archive: Archive) -> Picture:
    """Memory per layer (MiB) in the paper's metric, and as the authors logged it."""
    kind = archive.device_kind
    drawn, name = algorithms.in_paper(kind), algorithms.paper(kind)
    selection, rows = headline(archive)
    metric = memory_metric(rows)
    title = f"{_measured(archive, selection)}\n{metric.label}"
    measured = Panel(title, "memory, MiB", cells(rows, drawn, metric.column, 1 / MIB))
    said = []
    without: dict[str, list[str]] = {}
    for baseline in memory_baselines(kind):
        saved = 100 * (1 - ratio(rows, name, baseline, metric.column))
        if not saved.empty:
            said.append(f"{_saved(saved, baseline)} ({plural(len(saved), 'layer')})")
            if layer := decisive_layer(saved):
                without.setdefault(layer, []).append(_saved(saved.drop(layer), baseline))
    constant = constant_memory(archive, rows)
    caption = f"Memory on each layer ({selection}): {metric.label}{f'; {constant}' if constant else ''}."
    caption += f" In the mean over the layers {label(name)} takes {names(said)}" if said else ""
    caption += "".join(f", and without {layer} {names(rest)}" for layer, rest in without.items())
    caption += "." if said else ""
    if kind == "cpu":
        return _picture(archive, "Memory", [measured], caption)
    logged = _authors(published.authors_memory_mib(), drawn, "memory, MiB", "peak memory of the process")
    return _picture(archive, "Memory", [measured, logged], caption)


def ablation(archive: Archive) -> Picture:
    """Speed of im2win and its ablated variants, of the kernel alone if it was measured."""
    selection = pick(archive.measurements, ("kernel_only", "end_to_end", "authors"), having=algorithms.ablations())
    if selection is None:
        none = "the CPU backend has none" if archive.device_kind == "cpu" else "none were measured"
        return Picture(_title("Ablation of im2win", archive), note=f"this table holds no ablated variants: {none}")
    unit, factor = speed_unit(archive.device_kind)
    rows = rows_of(archive.measurements, selection)
    whole, variants = algorithms.paper(), algorithms.ablations()
    further = [name for name in algorithms.further_ablations() if name in set(rows["algorithm"])]
    measured = Panel(_measured(archive, selection), unit, cells(rows, (whole, *variants, *further), "tflops", factor))
    losses = {name: ratio(rows, whole, name, "tflops") for name in (*variants, *further)}
    means = {name: geometric_mean(loss) for name, loss in losses.items() if not loss.empty}
    said = [f"{number(means[name])}x as fast as {label(name)}" for name in sorted(means, key=lambda one: -means[one])]
    caption = f"Speed of im2win, and of im2win without one of its optimizations each ({selection}). "
    caption += (
        f"In the geometric mean over the layers, im2win is {names(said)}." if said else "No layer has both numbers."
    )
    return _picture(archive, "Ablation of im2win", [measured, _authors_tflops((whole, *variants))], caption)


def _saved(saved: pd.Series, baseline: str) -> str:
    less = "less" if saved.mean() >= 0 else "more"
    return f"{number(abs(float(saved.mean())))} % {less} than {label(baseline)}"


def _flops(archive: Archive) -> str:
    """Say what FLOPs are, and that a speed may be above the peak rate of FP32 if that was measured."""
    peak = (archive.provenance.get("ceilings") or {}).get("fp32_flops")
    unit, factor = speed_unit(archive.device_kind)
    said = "FLOPs are those of the direct convolution for every algorithm"
    if not peak:
        return f"{said}."
    above = f"the machine's FP32 rate ({number(peak * factor / 1e12)} {unit})"
    return f"{said}: one that multiplies less (FFT, Winograd), or not in FP32, can be above {above}."


def _picture(archive: Archive, what: str, panels: list[Panel], caption: str) -> Picture:
    below = " Below: what the authors logged." if len(panels) > 1 else ""
    return Picture(_title(what, archive), tuple(panels), caption + missing(panels[0].frame) + below)


def _title(what: str, archive: Archive) -> str:
    return f"{what} on {archive.device_name}"


def _measured(archive: Archive, selection: object) -> str:
    return f"measured on {archive.device_name}: {selection}"


def _authors_tflops(drawn: tuple[str, ...]) -> Panel:
    return _authors(published.authors_tflops(), drawn, "TFLOPS", "transform outside the timed region")


def _authors(logged: pd.DataFrame, drawn: tuple[str, ...], axis: str, how: str) -> Panel:
    rows = [
        (layer, algorithm, float(logged.at[layer, algorithm]), "ok", "")
        for algorithm in drawn
        if algorithm in logged
        for layer in layer_order(logged.index)
    ]
    return Panel(f"{AUTHORS}, {how}", axis, pd.DataFrame(rows, columns=list(FRAME_COLUMNS)))

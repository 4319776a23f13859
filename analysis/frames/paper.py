"""The frames of the paper's figures: TFLOPS, memory and ablation over the layers, beside the authors' log."""

import pandas as pd

from analysis.frames.common import (
    COMPARED,
    CPU_COMPARED,
    FRAME_COLUMNS,
    Panel,
    Picture,
    cells,
    compared,
    headline,
    missing,
    ours,
)
from analysis.numbers import published
from analysis.numbers.series import (
    ABLATED,
    ALL_ABLATED,
    BEST_CUDNN,
    FURTHER_ABLATED,
    MIB,
    constant_memory,
    label,
    layer_order,
    memory_metric,
    pick,
    ratio,
    rows_of,
    speed_unit,
    values,
)
from analysis.table.archive import Archive
from analysis.writing.phrases import names, number, plural

ABLATION = ("im2win", *ABLATED)
AUTHORS = "the authors' log (GPU not named; batch 64, conv4 with 32 channels)"
FLOPS = "FLOPs are those of the direct convolution for every algorithm."


def tflops(archive: Archive) -> Picture:
    """Speed per layer, end to end where it was measured, beside the authors' log."""
    selection, rows = headline(archive)
    algorithms = CPU_COMPARED if archive.device_kind == "cpu" else COMPARED
    unit, factor = speed_unit(archive.device_kind)
    measured = Panel(_measured(archive, selection), unit, cells(rows, algorithms, "tflops", factor))
    name = ours(archive)
    speed = values(rows, name, "tflops") * factor
    caption = f"Speed on each layer ({selection}). {FLOPS} "
    if speed.empty:
        caption += f"{label(name)} was ok on no layer."
    else:
        span = f"{number(speed.min())} ({speed.idxmin()}) to {number(speed.max())} {unit} ({speed.idxmax()})"
        others = compared(rows, name, [one for one in algorithms if one != name])
        caption += f"{label(name)} reaches {span}" + (f"; it is {others}." if others else ".")
    authors = [] if archive.device_kind == "cpu" else [_authors_tflops(algorithms)]
    return _picture(archive, "Speed", [measured, *authors], caption)


def memory(archive: Archive) -> Picture:
    """Memory per layer (MiB) by the paper's metric, beside the authors' log."""
    on_cpu = archive.device_kind == "cpu"
    algorithms = CPU_COMPARED if on_cpu else COMPARED
    selection, rows = headline(archive)
    metric = memory_metric(rows)
    title = f"{_measured(archive, selection)}\n{metric.label}"
    measured = Panel(title, "memory, MiB", cells(rows, algorithms, metric.column, 1 / MIB))
    said = []
    for baseline in ("cpu_im2col",) if on_cpu else ("im2col_cublas", BEST_CUDNN):
        saved = 100 * (1 - ratio(rows, ours(archive), baseline, metric.column))
        if not saved.empty:
            kind = "less" if saved.mean() >= 0 else "more"
            amount = f"{number(abs(float(saved.mean())))} % {kind} than {label(baseline)}"
            said.append(f"{amount} ({plural(len(saved), 'layer')})")
    constant = constant_memory(archive, rows)
    caption = f"Memory on each layer ({selection}): {metric.label}{f'; {constant}' if constant else ''}."
    caption += f" On average {label(ours(archive))} takes {names(said)}." if said else ""
    if on_cpu:
        return _picture(archive, "Memory", [measured], caption)
    logged = _authors(published.authors_memory_mib(), algorithms, "memory, MiB", "peak memory of the process")
    return _picture(archive, "Memory", [measured, logged], caption)


def ablation(archive: Archive) -> Picture:
    """Speed of im2win and of its ablated variants, by the kernel alone where it was measured."""
    selection = pick(archive.measurements, ("kernel_only", "end_to_end", "authors"), having=ABLATED)
    if selection is None:
        none = "the CPU backend has none" if archive.device_kind == "cpu" else "none were measured"
        return Picture(_title("Ablation of im2win", archive), note=f"this table holds no ablated variants: {none}")
    unit, factor = speed_unit(archive.device_kind)
    rows = rows_of(archive.measurements, selection)
    shown = (*ABLATION, *(name for name in FURTHER_ABLATED if name in set(rows["algorithm"])))
    measured = Panel(_measured(archive, selection), unit, cells(rows, shown, "tflops", factor))
    losses = {name: ratio(rows, "im2win", name, "tflops") for name in ALL_ABLATED}
    means = {name: float(loss.mean()) for name, loss in losses.items() if not loss.empty}
    said = [f"{number(means[name])}x as fast as {label(name)}" for name in sorted(means, key=lambda one: -means[one])]
    caption = f"What each optimization of im2win is worth ({selection}): the speed without it. "
    caption += f"On average over the layers, im2win is {names(said)}." if said else "No layer has both numbers."
    return _picture(archive, "Ablation of im2win", [measured, _authors_tflops(ABLATION)], caption)


def _picture(archive: Archive, what: str, panels: list[Panel], caption: str) -> Picture:
    below = " Below: what the authors logged." if len(panels) > 1 else ""
    return Picture(_title(what, archive), tuple(panels), caption + missing(panels[0].frame) + below)


def _title(what: str, archive: Archive) -> str:
    return f"{what} on {archive.device_name}"


def _measured(archive: Archive, selection: object) -> str:
    return f"measured on {archive.device_name}: {selection}"


def _authors_tflops(algorithms: tuple[str, ...]) -> Panel:
    return _authors(published.authors_tflops(), algorithms, "TFLOPS", "transform outside the timed region")


def _authors(logged: pd.DataFrame, algorithms: tuple[str, ...], axis: str, how: str) -> Panel:
    rows = [
        (layer, algorithm, float(logged.at[layer, algorithm]), "ok", "")
        for algorithm in algorithms
        for layer in layer_order(logged.index)
    ]
    return Panel(f"{AUTHORS}, {how}", axis, pd.DataFrame(rows, columns=list(FRAME_COLUMNS)))

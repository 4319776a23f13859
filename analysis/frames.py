"""Prepare the tidy frames that the figures are drawn from: whatever is computed for a figure is computed here."""

from dataclasses import dataclass

import pandas as pd

from analysis import reference
from analysis.series import (
    ABLATED,
    BEST_CUDNN,
    MIB,
    Selection,
    layer_order,
    memory_metric,
    pick,
    rows_of,
    speed_unit,
    state_of,
    with_best_cudnn,
)
from analysis.table import Archive

COMPARED = ("im2col_cublas", BEST_CUDNN, "im2win", "direct")
ABLATION = ("im2win", *ABLATED)
CPU_COMPARED = ("cpu_im2col", "cpu_torch", "cpu_im2win", "cpu_direct", "cpu_fft")
FRAME_COLUMNS = ("layer", "algorithm", "value", "status", "reason")
AUTHORS = "the authors' log (GPU not named; batch 64, conv4 with 32 channels)"


@dataclass(frozen=True, eq=False)
class Panel:
    """One set of axes: a tidy frame (FRAME_COLUMNS, in drawing order; NaN where there is no number) and its texts."""

    title: str
    axis: str
    frame: pd.DataFrame
    note: str = ""


@dataclass(frozen=True, eq=False)
class FigureFrames:
    """All that a figure shows."""

    name: str
    title: str
    panels: tuple[Panel, ...]


def prepare(archive: Archive) -> list[FigureFrames]:
    """Prepare the paper's three figures for one table: TFLOPS, memory, ablation."""
    return [tflops(archive), memory(archive), ablation(archive)]


def tflops(archive: Archive) -> FigureFrames:
    """Speed per layer, end to end where it was measured, beside the authors' log."""
    return _speed(archive, "tflops", "Speed", CPU_COMPARED if archive.device_kind == "cpu" else COMPARED)


def ablation(archive: Archive) -> FigureFrames:
    """Speed of im2win and of its three ablated variants, by the kernel alone where it was measured."""
    protocols = ("kernel_only", "end_to_end", "authors")
    return _speed(archive, "ablation", "Ablation of im2win", ABLATION, protocols, having=ABLATED)


def memory(archive: Archive) -> FigureFrames:
    """Memory per layer (MiB) by the paper's metric, beside the authors' log."""
    on_cpu = archive.device_kind == "cpu"
    algorithms = CPU_COMPARED if on_cpu else COMPARED
    selection = pick(archive.measurements)
    assert selection is not None, "a table that was read has rows"
    rows = with_best_cudnn(rows_of(archive.measurements, selection))
    metric = memory_metric(rows)
    ours = _panel(archive, selection, rows, algorithms, metric.column, 1 / MIB, "memory, MiB")
    ours = Panel(f"{ours.title}\n{metric.label}", ours.axis, ours.frame)
    if on_cpu:
        return FigureFrames("memory", _title("Memory", archive), (ours,))
    authors = _authors(reference.authors_memory_mib(), algorithms, "memory, MiB", "peak memory of the process")
    return FigureFrames("memory", _title("Memory", archive), (ours, authors))


def _speed(
    archive: Archive,
    name: str,
    what: str,
    algorithms: tuple[str, ...],
    protocols: tuple[str, ...] = ("end_to_end", "kernel_only", "authors"),
    having: tuple[str, ...] = (),
) -> FigureFrames:
    selection = pick(archive.measurements, protocols, having)
    unit, factor = speed_unit(archive.device_kind)
    if selection is None:
        note = "this table holds no ablated variants: " + (
            "the CPU backend has none" if archive.device_kind == "cpu" else "none were measured"
        )
        panel = Panel("", "", pd.DataFrame(columns=list(FRAME_COLUMNS)), note)
    else:
        rows = with_best_cudnn(rows_of(archive.measurements, selection))
        panel = _panel(archive, selection, rows, algorithms, "tflops", factor, unit)
    if archive.device_kind == "cpu":
        return FigureFrames(name, _title(what, archive), (panel,))
    authors = _authors(reference.authors_tflops(), algorithms, "TFLOPS", "transform outside the timed region")
    return FigureFrames(name, _title(what, archive), (panel, authors))


def _title(what: str, archive: Archive) -> str:
    return f"{what} on {archive.device_name}"


def _panel(
    archive: Archive,
    selection: Selection,
    rows: pd.DataFrame,
    algorithms: tuple[str, ...],
    column: str,
    factor: float,
    axis: str,
) -> Panel:
    cells = []
    for algorithm in algorithms:
        for layer in layer_order(rows["layer"]):
            value, status, reason = state_of(rows, layer, algorithm, column)
            cells.append((layer, algorithm, value * factor, status, reason))
    frame = pd.DataFrame(cells, columns=list(FRAME_COLUMNS))
    return Panel(f"measured on {archive.device_name}: {selection}", axis, frame)


def _authors(logged: pd.DataFrame, algorithms: tuple[str, ...], axis: str, how: str) -> Panel:
    cells = [
        (layer, algorithm, float(logged.at[layer, algorithm]), "ok", "")
        for algorithm in algorithms
        for layer in layer_order(logged.index)
    ]
    return Panel(f"{AUTHORS}, {how}", axis, pd.DataFrame(cells, columns=list(FRAME_COLUMNS)))

"""Frames that compare several results tables: the same selection, measured on different devices or days."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple

import pandas as pd

from analysis.frames.common import FRAME_COLUMNS, Panel, Picture, missing, other_class
from analysis.numbers.algorithms import OURS, YARDSTICKS, about, in_order, label, paper, shown
from analysis.numbers.series import (
    Selection,
    divide,
    geometric_mean,
    layer_order,
    rows_of,
    selections,
    speed_unit,
    state_of,
    values,
    with_accurate,
    with_best_cudnn,
)
from analysis.table.archive import Archive
from analysis.writing.phrases import SHORT, SHORT_EXPLAINED, names, number, plural
from analysis.writing.tables import Block, Table

Rows = dict[str, pd.DataFrame]


def device_names(archives: Sequence[Archive]) -> list[str]:
    """Name every table after its device, or after its folder if two tables are from the same device."""
    count = Counter(archive.device_name for archive in archives)
    return [one.device_name if count[one.device_name] == 1 else one.folder.name for one in archives]


def in_common(archives: Sequence[Archive]) -> tuple[str, Rows]:
    """Find the first suite, batch, protocol and class that all tables have, and its rows by device.

    Our convolutions on tensor cores, which are of another class, are added. The result is empty if the tables share no
    selection; those of CPUs and of GPUs share not even an algorithm.
    """
    if len({archive.device_kind for archive in archives}) > 1:
        return "", {}
    listed = [{astuple(one)[1:]: one for one in selections(archive.measurements)[::-1]} for archive in archives]
    for selection in selections(archives[0].measurements):
        key = astuple(selection)[1:]
        if all(key in one for one in listed):
            rows = [
                with_accurate(archive, one[key], with_best_cudnn(rows_of(archive.measurements, one[key])))
                for archive, one in zip(archives, listed, strict=True)
            ]
            return str(Selection("", *key)), dict(zip(device_names(archives), rows, strict=True))
    return "", {}


def tflops(archives: Sequence[Archive]) -> Picture:
    """Speed per layer on every device, a panel per algorithm; a frame's `algorithm` is the device."""
    title = "Speed on " + names(device_names(archives))
    where, rows = in_common(archives)
    if not rows:
        return _nothing(title)
    unit, factor = speed_unit(archives[0].device_kind)
    mine = paper(archives[0].device_kind)
    every = pd.concat(rows.values())
    panels = []
    for algorithm in _measured(archives[0], every):
        found = [
            (layer, device, value * factor, status, reason)
            for device, of_device in rows.items()
            for layer in layer_order(every["layer"])
            for value, status, reason in [state_of(of_device, layer, algorithm, "tflops")]
        ]
        panels.append(Panel(label(algorithm), unit, pd.DataFrame(found, columns=list(FRAME_COLUMNS))))
    first, *others = rows
    said = []
    for device in others:
        over = divide(*(values(rows[one], mine, "tflops") for one in (device, first)))
        if not over.empty:
            mean = number(geometric_mean(over))
            said.append(f"{mean}x as fast on {device} as on {first} (geometric mean of {plural(len(over), 'layer')})")
    caption = f"Speed on each layer ({where}), a panel per algorithm. "
    caption += f"{label(mine)} is {names(said)}." if said else "No layer is ok on two of the devices."
    caption += other_class(every)
    return Picture(title, tuple(panels), caption + missing(pd.concat([one.frame for one in panels])))


def speedup(archives: Sequence[Archive]) -> Picture:
    """Speed of im2win over each baseline on every device, a panel per baseline; `algorithm` is the device."""
    title = "Speedup on " + names(device_names(archives))
    where, rows = in_common(archives)
    if not rows:
        return _nothing(title)
    mine = paper(archives[0].device_kind)
    every = pd.concat(rows.values())
    panels, said = [], []
    for baseline in (one for one in _measured(archives[0], every) if one != mine and about(one).role != OURS):
        found = []
        for device, of_device in rows.items():
            over = divide(values(of_device, mine, "tflops"), values(of_device, baseline, "tflops"))
            for layer in layer_order(every["layer"]):
                states = [state_of(of_device, layer, one, "tflops")[1:] for one in (mine, baseline)]
                status, reason = next((one for one in states if one[0] != "ok"), states[0])
                found.append((layer, device, float(over.get(layer, float("nan"))), status, reason))
            if baseline == YARDSTICKS[archives[0].device_kind] and not over.empty:
                ahead = f"{int((over > 1).sum())} of {plural(len(over), 'layer')}"
                said.append(f"on {device} it is ahead of {label(baseline)} on {ahead}")
        frame = pd.DataFrame(found, columns=list(FRAME_COLUMNS))
        panels.append(Panel(f"{label(mine)} / {label(baseline)}", "speedup", frame))
    caption = f"Speed of {label(mine)} over each baseline ({where}); above 1 it is faster"
    caption += f": {names(said)}." if said else "."
    return Picture(title, tuple(panels), caption + missing(pd.concat([one.frame for one in panels])))


def comparison(archives: Sequence[Archive]) -> Table:
    """Make a table of every algorithm's speed on each layer and device, with the mean ratio to the first device."""
    title = "Speed on several devices"
    where, rows = in_common(archives)
    if not rows:
        return Table(title, pd.DataFrame(columns=["algorithm", "device"]), closing=_nothing(title).text)
    unit, factor = speed_unit(archives[0].device_kind)
    every = pd.concat(rows.values())
    layers, first = layer_order(every["layer"]), next(iter(rows))
    lines, cells = [], []
    for algorithm in in_order(every["algorithm"]):
        base = values(rows[first], algorithm, "tflops")
        for device, of_device in rows.items():
            states = [state_of(of_device, layer, algorithm, "tflops") for layer in layers]
            over = divide(values(of_device, algorithm, "tflops"), base)
            mean = geometric_mean(over)
            speeds = [value * factor for value, _, _ in states]
            lines.append([algorithm, device, unit, *speeds, mean, len(over)])
            text = [
                number(speed) if status == "ok" else SHORT.get(status, status)
                for speed, (_, status, _) in zip(speeds, states, strict=True)
            ]
            cells.append([label(algorithm), device, *text, f"{number(mean)} ({len(over)})"])
    frame = pd.DataFrame(lines, columns=["algorithm", "device", "unit", *layers, "over_first", "layers_compared"])
    header = ["algorithm", "device", *layers, f"over {first} (layers)"]
    return Table(title, frame, (Block(header, cells, (0, 1), where, unit),), f"{SHORT_EXPLAINED}.")


def _measured(archive: Archive, every: pd.DataFrame) -> list[str]:
    """List the algorithms that a figure shows and at least one table has."""
    return [name for name in shown(archive.device_kind, every["algorithm"]) if name in set(every["algorithm"])]


def _nothing(title: str) -> Picture:
    return Picture(title, note="the tables have no suite, batch, protocol and numeric class in common")

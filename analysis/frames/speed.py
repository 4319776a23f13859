"""The frames of what the paper does not show about speed: speedups, times with intervals, transform, batches."""

import numpy as np
import pandas as pd

from analysis.frames.common import FRAME_COLUMNS, Panel, Picture, cells, headline, missing, ours, shown
from analysis.series import (
    BEST_CUDNN,
    Selection,
    algorithm_order,
    label,
    layer_order,
    pick,
    rows_of,
    speed_unit,
    state_of,
    values,
    with_best_cudnn,
)
from analysis.table import Archive
from analysis.text import names, number, plural

#: The convolutions whose transform is outside the region that `kernel_only` times.
TRANSFORMED = ("im2win", "im2win_tensor_core", "cpu_im2win")


def speedup(archive: Archive) -> Picture:
    """Speed of every algorithm over the best cuDNN of its layer (on a CPU: over PyTorch).

    `log2` of the value is what a colour shows: 0 is as fast, 1 twice as fast.
    """
    selection, rows = headline(archive)
    baseline = "cpu_torch" if archive.device_kind == "cpu" else BEST_CUDNN
    title = f"Speed over {label(baseline)} on {archive.device_name}"
    best = values(rows, baseline, "tflops")
    if best.empty:
        return Picture(title, note=f"{label(baseline)} has no number on any layer of {selection}")
    frame = cells(rows, [name for name in algorithm_order(rows["algorithm"]) if name != BEST_CUDNN], "tflops")
    frame["value"] = frame["value"] / frame["layer"].map(best)
    without = frame["value"].isna() & (frame["status"] == "ok")
    frame.loc[without, ["status", "reason"]] = ["no number", f"{label(baseline)} has none"]
    frame["log2"] = np.log2(frame["value"])
    caption = f"Speed of every algorithm over {label(baseline)} of the same layer ({selection}); above 1 it is faster. "
    others = frame[~frame["algorithm"].str.startswith("cudnn_") & ~frame["algorithm"].isin([baseline])]
    convolutions = others[~others["algorithm"].str.endswith("_ceiling")].dropna(subset="value")
    ahead = convolutions[convolutions["value"] > 1]
    who = [
        f"{label(str(name))} on {' '.join(layer_order(group['layer']))} (up to {number(group['value'].max())}x)"
        for name, group in ahead.groupby("algorithm", sort=False)
    ]
    caption += f"Ahead of it: {names(who)}." if who else "No other convolution is ahead of it on any layer."
    panel = Panel(str(selection), "", frame)
    return Picture(title, (panel,), caption + missing(frame))


def times(archive: Archive) -> Picture:
    """Time per layer with its 95 % interval, and the interval in % of the time, where it can be seen."""
    selection, rows = headline(archive)
    frame = cells(rows, shown(archive, rows), "time_ms")
    for column in ("time_ms_low", "time_ms_high"):
        found = rows.set_index(["layer", "algorithm"])[column]
        keys = pd.MultiIndex.from_frame(frame[["layer", "algorithm"]])
        frame[column.removeprefix("time_ms_")] = found.reindex(keys).to_numpy()
    frame.loc[frame["value"].isna(), ["low", "high"]] = np.nan
    relative = frame.assign(value=frame["value"] * 0)
    for column in ("low", "high"):
        relative[column] = 100 * (frame[column] / frame["value"] - 1)
    half = ((relative["high"] - relative["low"]) / 2).dropna()
    caption = f"Time per layer, median and its 95 % interval ({selection}). "
    if half.empty:
        caption += "No interval was recorded."
    else:
        widest = frame.loc[half.idxmax()]
        caption += f"Half the intervals are narrower than +-{number(half.median())} %; the widest is "
        caption += f"+-{number(half.max())} %, of {label(widest['algorithm'])} on {widest['layer']}."
    panels = (Panel(str(selection), "time, ms", frame), Panel("", "95 % interval,\n% of the time", relative))
    return Picture(f"Time on {archive.device_name}", panels, caption + missing(frame))


def transform(archive: Archive) -> Picture:
    """How much of the end-to-end time is the transform: what `kernel_only` leaves out, in % of `end_to_end`.

    The transform's share is what is missing to the whole; where the kernel alone was measured slower than with the
    transform (noise), its bar is as long as the whole and `difference` has the negative number.
    """
    title = f"Share of the transform on {archive.device_name}"
    whole = pick(archive.measurements, ("end_to_end",))
    assert whole is not None, "a table that was read has rows"
    part = Selection(whole.experiment, whole.suite, whole.batch, "kernel_only", whole.numerics)
    both = [rows_of(archive.measurements, one) for one in (whole, part)]
    if whole.protocol != "end_to_end" or both[1].empty:
        return Picture(title, note="it needs rows of both end_to_end and kernel_only")
    panels, said = [], []
    for algorithm in TRANSFORMED:
        if algorithm not in set(both[0]["algorithm"]):
            continue
        found = []
        for layer in layer_order(both[0]["layer"]):
            (all_of_it, *state), (alone, *other) = (state_of(rows, layer, algorithm, "time_ms") for rows in both)
            status, reason = state if state[0] != "ok" else other
            difference = 100 * (1 - alone / all_of_it)
            kernel = 100 - max(0.0, difference) if difference == difference else np.nan
            found.append((layer, "kernel", kernel, status, reason, difference))
            found.append((layer, "transform", 100 - kernel, status, reason, difference))
        frame = pd.DataFrame(found, columns=[*FRAME_COLUMNS, "difference"])
        frame = frame.sort_values("algorithm", kind="stable", ignore_index=True)
        panels.append(Panel(f"{label(algorithm)}: {whole}", "% of the time", frame))
        share = frame[frame["algorithm"] == "kernel"].set_index("layer")["difference"].dropna()
        if not share.empty:
            span = f"{number(share.min())} % ({share.idxmin()}) to {number(share.max())} % ({share.idxmax()})"
            said.append(f"{span} of {label(algorithm)}'s time, {number(share.mean())} % on average")
    if not said:
        return Picture(title, note="no convolution with a transform is ok under both end_to_end and kernel_only")
    caption = f"What the kernel alone leaves out of the end-to-end time (batch {whole.batch}, {whole.numerics}): the "
    caption += f"transform and the filter's reordering. It is {names(said)}."
    return Picture(title, tuple(panels), caption + missing(panels[0].frame[::2]))


def batches(archive: Archive) -> Picture:
    """Speed against batch, a panel per layer; not drawn of a table with one batch."""
    selection, rows = headline(archive)
    unit, factor = speed_unit(archive.device_kind)
    title = f"Speed against batch on {archive.device_name}"
    keep = pd.Series(True, index=archive.measurements.index)
    for column in ("experiment", "suite", "protocol", "numerics"):
        keep &= archive.measurements[column] == getattr(selection, column)
    there = sorted(int(one) for one in archive.measurements.loc[keep, "batch"].unique())
    if len(there) < 2:
        only = f"{selection.suite}, {selection.protocol}, {selection.numerics}"
        return Picture(title, note=f"the table has one batch, {there[0]}, of {only}; two are needed for a line")
    parts = []
    for batch in there:
        one = Selection(selection.experiment, selection.suite, batch, selection.protocol, selection.numerics)
        of_batch = with_best_cudnn(rows_of(archive.measurements, one))
        parts.append(cells(of_batch, shown(archive, rows), "tflops", factor).assign(batch=batch))
    frame = pd.concat(parts, ignore_index=True)
    panels = [
        Panel(layer, unit, frame[frame["layer"] == layer].reset_index(drop=True), x_axis="batch")
        for layer in layer_order(frame["layer"])
    ]
    speed = frame[frame["algorithm"] == ours(archive)].pivot(index="layer", columns="batch", values="value").dropna()
    caption = f"Speed against batch ({selection.suite}, {selection.protocol}, {selection.numerics}). "
    if speed.empty:
        caption += f"{label(ours(archive))} has no layer that is ok at every batch."
    else:
        grown = (speed[there[-1]] / speed[there[0]]).mean()
        caption += f"From batch {there[0]} to {there[-1]}, {label(ours(archive))} becomes {number(grown)}x as fast "
        caption += f"(mean of {plural(len(speed), 'layer')})."
    return Picture(title, tuple(panels), caption + _fewer_of_cudnn(archive.measurements[keep]) + missing(frame))


def _fewer_of_cudnn(rows: pd.DataFrame) -> str:
    """A sentence on batches at which fewer of cuDNN's algorithms were measured than at others, if there are any."""
    cudnn = rows[rows["algorithm"].str.startswith("cudnn_")]
    measured = cudnn.groupby("batch")["algorithm"].agg(set)
    every = set(cudnn["algorithm"])
    fewer = [f"at batch {batch} {names(map(label, sorted(some)))}" for batch, some in measured.items() if some < every]
    if not fewer:
        return ""
    return f" Not every cuDNN algorithm was measured at every batch, and the best may be missing: {'; '.join(fewer)}."

"""Frames about speed beyond the paper's: speedups, times with intervals, the transform's share, batches."""

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.frames.common import FRAME_COLUMNS, Panel, Picture, cells, classes, missing, other_class
from analysis.numbers.algorithms import (
    AS_IT_COMES,
    BEST_CUDNN,
    TF32,
    YARDSTICKS,
    about,
    in_order,
    is_cudnn,
    is_reduced_baseline,
    label,
    paper,
    shown,
    with_transform,
)
from analysis.numbers.networks import BASELINE
from analysis.numbers.overview import overview as headline_sides
from analysis.numbers.series import (
    Selection,
    geometric_mean,
    headline,
    layer_order,
    pick,
    rows_of,
    speed_unit,
    state_of,
    values,
    with_accurate,
    with_best_cudnn,
)
from analysis.table.archive import Archive
from analysis.table.companions import read_transforms
from analysis.writing.phrases import names, number, plural

#: With fewer algorithms of cuDNN the best of them may be far from cuDNN's best.
FEW = 3


def overview(archive: Archive) -> Picture:
    """Speed of each side of the headline over its baseline, the best cuDNN in strict FP32 (on a CPU: PyTorch).

    A side that has no result on any layer is left out, so that the legend names what is there.
    """
    found = headline_sides(archive)
    baseline, title = found.sides[BASELINE].label, f"Convolutions on {archive.device_name}"
    if found.best[BASELINE].empty:
        return Picture(title, note=_no_baseline(baseline, found.selection, archive.device_kind))
    lines, said = [], []
    for name, side in found.sides.items():
        over = found.over(name)
        for layer in found.layers if len(over) else ():
            status, reason = ("ok", "") if layer in over.index else found.state(name, layer)
            lines.append((layer, name, over.get(layer, np.nan), status, reason, side.label))
        if len(over) and name != BASELINE:
            ahead = f"faster on {(over > 1).sum()} of {plural(len(over), 'layer')}"
            said.append(f"{side.label}: {ahead}, {number(geometric_mean(over))}x in the geometric mean")
    frame = pd.DataFrame(lines, columns=[*FRAME_COLUMNS, "label"])
    unit, factor = speed_unit(archive.device_kind)
    absolute = values(headline(archive)[1], YARDSTICKS[archive.device_kind], "tflops") * factor
    caption = f"Speed over {baseline} on the same layer ({found.selection}), which reaches {number(absolute.min())} "
    caption += f"({absolute.idxmin()}) to {number(absolute.max())} {unit} ({absolute.idxmax()}). {'; '.join(said)}."
    rivals = in_order(name for name in found.rows["algorithm"] if is_cudnn(name))
    if 0 < len(rivals) < FEW:
        caption += f" Of cuDNN only {names(label(name) for name in rivals)} was measured."
    axis = f"speed relative to {baseline}"
    return Picture(title, (Panel("", "", frame, x_axis=axis),), caption + missing(frame))


def _no_baseline(baseline: str, selection: Selection, kind: str) -> str:
    """Say that there is nothing to compare with, and what to measure."""
    name = AS_IT_COMES[kind]
    return (
        f"{baseline} has no number on any layer of {selection}, so there is nothing to compare with; a run that names "
        f"algorithms needs such a one too (algorithm=...,{name})"
    )


def speedup(archive: Archive) -> Picture:
    """Speed of every algorithm over the best cuDNN of its layer (on a CPU: over PyTorch), a panel for each class.

    Every panel divides by the best of the first class, so that tensor cores are compared with strict FP32. The colours
    show `log2` of the value: 0 is as fast, 1 twice as fast.
    """
    selection, rows = headline(archive)
    baseline = YARDSTICKS[archive.device_kind]
    title = f"Speed over {label(baseline)} on {archive.device_name}"
    best = values(rows, baseline, "tflops")
    if best.empty:
        return Picture(title, note=_no_baseline(label(baseline), selection, archive.device_kind))
    panels: list[Panel] = []
    for one in classes(archive, selection):
        of_class = rows_of(archive.measurements, one)
        frame = cells(of_class, in_order(of_class["algorithm"]), "tflops")
        frame["value"] = frame["value"] / frame["layer"].map(best)
        without = frame["value"].isna() & (frame["status"] == "ok")
        frame.loc[without, ["status", "reason"]] = ["no number", f"{label(baseline)} has none"]
        frame["log2"] = np.log2(frame["value"])
        panels.append(
            Panel(f"{one.numerics}, over {label(baseline)} of {selection.numerics}" if panels else str(one), "", frame)
        )
    of_each = zip(panels, classes(archive, selection), strict=True)
    every = pd.concat([panel.frame.assign(numerics=one.numerics) for panel, one in of_each], ignore_index=True)
    caption = f"Speed of every algorithm over {label(baseline)} of the same layer ({selection}); above 1 it is faster. "
    if len(panels) > 1:
        others = names(panel.title.partition(",")[0] for panel in panels[1:])
        caption += f"Below, the same for {others}. "
    rivals = [name for name in in_order(every["algorithm"]) if about(name).is_candidate and not is_cudnn(name)]
    ahead = every[every["algorithm"].isin(rivals) & (every["algorithm"] != baseline) & (every["value"] > 1)]
    # As with cuDNN's own rows: that TF32 is ahead of strict FP32 is what the panel shows.
    ahead = ahead[~(ahead["algorithm"].map(is_reduced_baseline).astype(bool) & (ahead["numerics"] == TF32))]
    who = []
    for (numerics, name), group in ahead.groupby(["numerics", "algorithm"], sort=False):
        where = "every layer" if len(group) == len(best) else " ".join(layer_order(group["layer"]))
        other = "" if numerics == selection.numerics or about(name).is_accurate_only else f" in {numerics}"
        who.append(f"{label(name)}{other} on {where} (up to {number(group['value'].max())}x)")
    caption += f"Ahead of it: {names(who)}." if who else "No other convolution is ahead of it on any layer."
    return Picture(title, tuple(panels), caption + other_class(every) + missing(every))


def times(archive: Archive) -> Picture:
    """Time per layer with its 95 % interval, which is also shown in % of the time: a log axis hides narrow ones."""
    selection, rows = headline(archive)
    rows = with_accurate(archive, selection, rows)
    frame = cells(rows, shown(archive.device_kind, rows["algorithm"]), "time_ms")
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
    caption += other_class(frame)
    panels = (Panel(str(selection), "time, ms", frame), Panel("", "95 % interval,\n% of the time", relative))
    return Picture(f"Time on {archive.device_name}", panels, caption + missing(frame))


def transform(archive: Archive) -> Picture:
    """The share of the transform in the end-to-end time: what `kernel_only` leaves out, in % of `end_to_end`.

    Noise can make the kernel alone slower than the kernel with its transform. Its bar then has the full length, and
    `difference` holds the negative number.
    """
    title = f"Share of the transform on {archive.device_name}"
    whole = pick(archive.measurements, ("end_to_end",))
    assert whole is not None, "a table that was read has rows"
    part = Selection(whole.experiment, whole.suite, whole.batch, "kernel_only", whole.numerics)
    both = [rows_of(archive.measurements, one) for one in (whole, part)]
    if whole.protocol != "end_to_end" or both[1].empty:
        return Picture(title, note="it needs rows of both end_to_end and kernel_only")
    panels, said = [], []
    for algorithm in with_transform():
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
    caption = f"The share of the end-to-end time that kernel_only leaves out (batch {whole.batch}, {whole.numerics}), "
    caption += f"which is the transform and the reordering of the filter: {names(said)}."
    absent = missing(panels[0].frame[::2])
    of_copies, said_of_it = _transform_alone(archive, whole)
    return Picture(title, (*panels, *of_copies), caption + said_of_it + absent)


def _transform_alone(archive: Archive, selection: Selection) -> tuple[list[Panel], str]:
    """Compare the transform's bandwidth with that of copies: a panel and a sentence; empty without a transform.csv."""
    found = read_transforms(archive.folder)
    found = found[(found["suite"] == selection.suite) & (found["batch"] == selection.batch)].set_index("layer")
    copies = (archive.provenance.get("ceilings") or {}).get("copy_bytes_per_s")
    if found.empty or not copies:
        return [], ""
    found = found.reindex(layer_order(found.index))
    share = 100 * found["moved_bytes"] / (found["time_ms"] / 1e3) / copies
    frame = pd.DataFrame({"layer": share.index, "algorithm": "transform", "value": share.to_numpy()})
    frame = frame.assign(status="ok", reason="")[list(FRAME_COLUMNS)]
    said = f" Timed alone, with a cold L2 cache, it reaches {number(share.min())} % ({share.idxmin()}) to "
    said += f"{number(share.max())} % ({share.idxmax()}) of the bandwidth of copies, X and F read once and the window "
    said += "tensor and the reordered filter written once."
    return [Panel("the transform alone", "% of the bandwidth\nof copies", frame)], said


def batches(archive: Archive) -> Picture:
    """Speed against batch, a panel per layer; not drawn if the table has one batch."""
    selection, rows = headline(archive)
    unit, factor = speed_unit(archive.device_kind)
    title = f"Speed against batch on {archive.device_name}"
    keep = pd.Series(True, index=archive.measurements.index)
    for column in ("experiment", "suite", "protocol", "numerics"):
        keep &= archive.measurements[column] == getattr(selection, column)
    mine = paper(archive.device_kind)
    there = sorted(int(one) for one in archive.measurements.loc[keep, "batch"].unique())
    if len(there) < 2:
        only = f"{selection.suite}, {selection.protocol}, {selection.numerics}"
        return Picture(title, note=f"the table has one batch, {there[0]}, of {only}; two are needed for a line")
    rows, fewer = with_accurate(archive, selection, rows), _fewer_of_cudnn(archive.measurements[keep])
    drawn, parts = shown(archive.device_kind, rows["algorithm"]), []
    for batch in there:
        one = replace(selection, batch=batch)
        of_batch = with_accurate(archive, one, with_best_cudnn(rows_of(archive.measurements, one)))
        parts.append(cells(of_batch, drawn, "tflops", factor).assign(batch=batch))
    frame = pd.concat(parts, ignore_index=True)
    frame["fewer"] = (frame["algorithm"] == BEST_CUDNN) & frame["batch"].isin(fewer)
    panels = [
        Panel(layer, unit, frame[frame["layer"] == layer].reset_index(drop=True), x_axis="batch")
        for layer in layer_order(frame["layer"])
    ]
    speed = frame[frame["algorithm"] == mine].pivot(index="layer", columns="batch", values="value").dropna()
    caption = f"Speed against batch ({selection.suite}, {selection.protocol}, {selection.numerics}). "
    if speed.empty:
        caption += f"{label(mine)} has no layer that is ok at every batch."
    else:
        grown = geometric_mean(speed[there[-1]] / speed[there[0]])
        caption += f"From batch {there[0]} to {there[-1]}, {label(mine)} becomes {number(grown)}x as fast "
        caption += f"(mean of {plural(len(speed), 'layer')})."
    if fewer:
        which = "; ".join(f"at batch {batch} {names(some)}" for batch, some in fewer.items())
        caption += " Not every cuDNN algorithm was measured at every batch, and the best may be missing: "
        caption += f"{which}. There the marks of the best cuDNN are hollow."
    return Picture(title, tuple(panels), caption + other_class(frame) + missing(frame))


def _fewer_of_cudnn(rows: pd.DataFrame) -> dict[int, list[str]]:
    """Find the batches at which some of cuDNN's algorithms were not measured, and list those that were."""
    cudnn = rows[rows["algorithm"].map(is_cudnn).astype(bool)]
    measured = cudnn.groupby("batch")["algorithm"].agg(set)
    every = set(cudnn["algorithm"])
    return {batch: [label(one) for one in in_order(some)] for batch, some in measured.items() if some < every}

"""The findings at the beginning of a report, every number computed from the data."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from analysis.numbers.algorithms import (
    ACCURATE,
    BEST_CUDNN,
    STRICT,
    TF32,
    YARDSTICKS,
    ablations,
    about,
    every_ablation,
    further_baselines,
    in_order,
    in_paper,
    is_reduced_baseline,
    label,
    ours,
    paper,
)
from analysis.numbers.judged import headline_claims
from analysis.numbers.series import (
    Selection,
    accurate_rows,
    constant_memory,
    divide,
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
    with_best_cudnn,
)
from analysis.numbers.staleness import Staleness
from analysis.numbers.verdicts import VERDICTS
from analysis.table.archive import Archive
from analysis.table.schema import POINT_KEY
from analysis.writing.phrases import names, number, plural
from analysis.writing.tables import DAGGER


def findings(archive: Archive, judged: pd.DataFrame) -> list[str]:
    """Summarize the headline of a table without its networks; one sentence or two per item."""
    if archive.measurements.empty:
        return [f"Measured on {archive.device_name}: networks alone, and none of the paper's layers."]
    (selection, rows), kind = headline(archive), archive.device_kind
    yardstick = YARDSTICKS[kind]
    said = [_verdicts(archive, judged)]
    said += _speed(rows, paper(kind), [name for name in in_paper(kind) if name != paper(kind)], kind)
    for name in ours(kind, STRICT):
        if not values(rows, name, "tflops").empty:
            said += _speed(rows, name, [yardstick], kind)
            said += _other_batches(archive, selection, name, yardstick)
    for name in further_baselines(kind):
        if not values(rows, name, "tflops").empty:
            said += _speed(rows, name, [yardstick], kind)
    said += _accurate(archive, selection, rows, yardstick) + _reduced(archive, selection)
    if kind == "cuda":
        said += _best_cudnn(rows) + _memory(archive, rows) + _ablation(archive)
    said.append(outcomes(archive.measurements))
    return [f"Measured on {archive.device_name} ({selection}).", *(sentence for sentence in said if sentence)]


def _verdicts(archive: Archive, judged: pd.DataFrame) -> str:
    group = headline_claims(judged, archive)
    counts = group["verdict"].value_counts()
    parts = [f"{counts[verdict]} {verdict}" for verdict in VERDICTS if verdict in counts]
    if not parts:
        return ""
    why = set(group["reason"])
    shared = f" ({why.pop()})" if len(why) == 1 and len(parts) == 1 and "" not in why else ""
    return f"Of the paper's {plural(len(group), 'claim')}: {names(parts)}{shared}."


def _speed(rows: pd.DataFrame, algorithm: str, baselines: Sequence[str], kind: str) -> list[str]:
    unit, factor = speed_unit(kind)
    speed = values(rows, algorithm, "tflops") * factor
    if speed.empty:
        return [f"{label(algorithm)} was ok on no layer."]
    said = [
        f"{label(algorithm)} reaches {number(speed.min())} ({speed.idxmin()}) to {number(speed.max())} {unit} "
        f"({speed.idxmax()}) over {plural(len(speed), 'layer')}."
    ]
    for baseline in baselines:
        over = ratio(rows, algorithm, baseline, "tflops")
        if over.empty:
            said.append(f"It cannot be compared with {label(baseline)}: on no layer are both ok.")
            continue
        ahead = list(over.index[over > 1])
        where = f" ({' '.join(ahead)})" if 0 < len(ahead) < len(over) else ""
        said.append(
            f"It is faster than {label(baseline)} on {_ahead(over)}{where}: "
            f"{number(over.mean())}x on average, {number(over.min())}x ({over.idxmin()}) to {number(over.max())}x "
            f"({over.idxmax()})."
        )
    return said


def _other_batches(archive: Archive, selection: Selection, algorithm: str, yardstick: str) -> list[str]:
    """Compare an algorithm with the yardstick at the other batches of the table."""
    parts = []
    for batch in sorted(set(archive.measurements["batch"]) - {selection.batch}):
        rows = with_best_cudnn(rows_of(archive.measurements, replace(selection, batch=batch)))
        over = ratio(rows, algorithm, yardstick, "tflops")
        if not over.empty:
            parts.append(f"on {_ahead(over)} at batch {batch} ({number(geometric_mean(over))}x in the geometric mean)")
    return [f"It is faster than {label(yardstick)} {names(parts)}."] if parts else []


def _ahead(over: pd.Series) -> str:
    """Say on how many of the layers a ratio is above 1."""
    return f"{(over > 1).sum()} of {plural(len(over), 'layer')}"


def _accurate(archive: Archive, selection: Selection, rows: pd.DataFrame, yardstick: str) -> list[str]:
    """Compare the class fp32_accurate, ours and further baselines, with the yardstick of `rows` (of `selection`)."""
    accurate, said = rows_of(archive.measurements, replace(selection, numerics=ACCURATE)), []
    unit, factor = speed_unit(archive.device_kind)
    theirs, further = values(rows, yardstick, "tflops"), further_baselines(archive.device_kind)
    for name in in_order(accurate["algorithm"]):
        speed = values(accurate, name, "tflops")
        over = divide(speed, theirs)
        if (about(name).is_accurate_only or name in further) and not over.empty:
            said.append(
                f"{label(name)}, of the class {ACCURATE}, reaches {_range(speed * factor, unit)} and is faster than "
                f"{label(yardstick)} in {selection.numerics} on {_ahead(over)}: {_mean_and_range(over)}."
            )
    return said


def _reduced(archive: Archive, selection: Selection) -> list[str]:
    """Compare ours on tensor cores (class fp32_accurate) with the best TF32 of the libraries."""
    rows = rows_of(archive.measurements, replace(selection, numerics=TF32))
    rows = rows[rows["algorithm"].map(is_reduced_baseline).astype(bool)]
    best = rows[rows["status"] == "ok"].groupby("layer")["tflops"].max()
    best = best.reindex(layer_order(best.index))
    if best.empty:
        return []
    unit, factor = speed_unit(archive.device_kind)
    whose = names(label(name) for name in in_order(rows["algorithm"]))
    said = [f"The best {TF32} of the libraries (of {whose}) reaches {_range(best * factor, unit)}."]
    accurate = accurate_rows(archive.measurements, selection)
    for name in in_order(accurate["algorithm"]):
        over = divide(values(accurate, name, "tflops"), best)
        if not over.empty:
            said.append(f"{label(name)} is faster than it on {_ahead(over)}: {_mean_and_range(over)}.")
    return said


def _range(speed: pd.Series, unit: str) -> str:
    """Say from which to which speed, and on which layers."""
    return f"{number(speed.min())} ({speed.idxmin()}) to {number(speed.max())} {unit} ({speed.idxmax()})"


def _mean_and_range(over: pd.Series) -> str:
    """Say how large a ratio is in the mean, at least and at most."""
    mean = f"{number(geometric_mean(over))}x in the geometric mean"
    return f"{mean}, {number(over.min())}x ({over.idxmin()}) to {number(over.max())}x ({over.idxmax()})"


def _best_cudnn(rows: pd.DataFrame) -> list[str]:
    best = rows[(rows["algorithm"] == BEST_CUDNN) & (rows["status"] == "ok")]
    if best.empty:
        return []
    counts = best["chosen"].value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")
    parts = [f"{label(name)} on {plural(count, 'layer')}" for name, count in counts.items()]
    return [f"The best cuDNN is {names(parts)}."]


def _memory(archive: Archive, rows: pd.DataFrame) -> list[str]:
    metric, constant = memory_metric(rows), constant_memory(archive, rows)
    parts = []
    for baseline in memory_baselines(archive.device_kind):
        saved = 100 * (1 - ratio(rows, paper(), baseline, metric.column))
        if not saved.empty:
            kind = "less" if saved.mean() >= 0 else "more"
            parts.append(
                f"{number(abs(saved.mean()))} % {kind} memory than {label(baseline)} ({plural(len(saved), 'layer')})"
            )
    what = f"{metric.label}{f' ({constant})' if constant else ''}"
    return [f"On average im2win takes {names(parts)}; memory is the {what}."] if parts else []


def _ablation(archive: Archive) -> list[str]:
    selection = pick(archive.measurements, ("kernel_only", "end_to_end", "authors"), having=ablations())
    if selection is None:
        return ["The ablation was not measured."]
    rows = rows_of(archive.measurements, selection)
    losses = {name: ratio(rows, paper(), name, "tflops") for name in every_ablation()}
    found = {name: loss for name, loss in losses.items() if not loss.empty}
    if not found:
        return ["No ablated variant was ok on a layer where im2win is."]
    parts = [
        f"{number(loss.mean())}x as fast as {label(name)} ({plural(len(loss), 'layer')})"
        for name, loss in sorted(found.items(), key=lambda item: -item[1].mean())
    ]
    return [f"In the ablation ({selection.protocol}), im2win is on average {names(parts)}."]


def outcomes(measurements: pd.DataFrame) -> str:
    """Count the points by outcome, and name the algorithms of those that are not ok."""
    points = measurements.drop_duplicates(list(POINT_KEY))
    bad = measurements[measurements["status"] != "ok"].drop_duplicates(list(POINT_KEY))
    if bad.empty:
        return f"All {plural(len(points), 'point')} are ok."
    parts = []
    for status, group in bad.groupby("status"):
        whose = names(label(name) for name in dict.fromkeys(group["algorithm"]))
        parts.append(f"{len(group)} {str(status).replace('_', ' ')} ({whose})")
    return f"{len(points) - len(bad)} of {plural(len(points), 'point')} are ok; {names(parts)}."


def about_the_paper() -> list[str]:
    """Explain what a reader should know of the paper's own data before comparing."""
    return [
        "Time x TFLOPS in the authors' logs is the work of batch 64 with 32 input channels in conv4, while the "
        "artifact's text says batch 128 and the layer table 64 channels. So suite `paper_table` has 64 channels and "
        "suite `authors_log` has 32; both are measured at batch 64 by default.",
        "The authors start the clock after the im2win transform and take the minimum of 100 runs for their kernel, but "
        "the mean for the libraries. Our `end_to_end` includes the transform, `kernel_only` does not, and `authors` "
        "follows them.",
    ]


def stale_sentences(staleness: Staleness) -> list[str]:
    """Say which numbers are older than today's sources."""
    said = []
    if staleness.older_kernels:
        whose = names(label(name) for name in staleness.older_kernels)
        said.append(
            f"**Stale:** the sources of {whose} have changed since they were measured; their numbers are marked "
            f"{DAGGER} under Tables, and figures, claims and the choice of an algorithm rest on them."
        )
    if staleness.older_harness:
        changed = "**Stale:** the measuring program has changed since"
        if staleness.all_older:
            said.append(f"{changed} all {plural(staleness.points, 'point')} were measured.")
        else:
            some = f"{staleness.older_harness} of {plural(staleness.points, 'point')}"
            said.append(f"{changed} {some} were measured; their numbers are marked {DAGGER} too.")
    if staleness.unknown:
        whose = names(label(name) for name in staleness.unknown)
        said.append(f"Today's sources do not have {whose}: whether those numbers are current is not known.")
    return said

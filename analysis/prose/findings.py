"""The report's first sentences: what a table shows, in words, every number computed from the data."""

from dataclasses import replace

import pandas as pd

from analysis.numbers.series import (
    ABLATED,
    ACCURATE,
    ALL_ABLATED,
    BEST_CUDNN,
    COMPENSATED,
    Selection,
    compensated,
    constant_memory,
    geometric_mean,
    label,
    memory_metric,
    pick,
    ratio,
    rows_of,
    speed_unit,
    values,
    with_best_cudnn,
)
from analysis.numbers.verdicts import VERDICTS, headline
from analysis.table.archive import POINT_KEY, Archive
from analysis.writing.phrases import names, number, plural


def findings(archive: Archive, judged: pd.DataFrame) -> list[str]:
    """Say what the headline selection of a table shows; one sentence or two per item."""
    selection = pick(archive.measurements)
    assert selection is not None, "a table that was read has rows"
    rows = with_best_cudnn(rows_of(archive.measurements, selection))
    said = [_verdicts(archive, judged)]
    if archive.device_kind == "cpu":
        said += _speed(rows, "cpu_im2win", ("cpu_im2col", "cpu_torch", "cpu_direct", "cpu_fft"), "cpu")
    else:
        said += _speed(rows, "im2win", ("im2col_cublas", BEST_CUDNN, "direct"), "cuda")
        for faster in ("im2win_fused", "im2win_winograd"):
            if not values(rows, faster, "tflops").empty:
                said += _speed(rows, faster, (BEST_CUDNN,), "cuda")
                said += _other_batches(archive, selection, faster)
        said += _compensated(archive, selection, rows)
        said += _best_cudnn(rows) + _memory(archive, rows) + _ablation(archive)
    said.append(_outcomes(archive))
    return [f"Measured on {archive.device_name} ({selection}).", *(sentence for sentence in said if sentence)]


def _verdicts(archive: Archive, judged: pd.DataFrame) -> str:
    group = headline(judged, archive)
    counts = group["verdict"].value_counts()
    parts = [f"{counts[verdict]} {verdict}" for verdict in VERDICTS if verdict in counts]
    if not parts:
        return ""
    why = set(group["reason"])
    shared = f" ({why.pop()})" if len(why) == 1 and len(parts) == 1 and "" not in why else ""
    return f"Of the paper's {plural(len(group), 'claim')}: {names(parts)}{shared}."


def _speed(rows: pd.DataFrame, ours: str, baselines: tuple[str, ...], kind: str) -> list[str]:
    unit, factor = speed_unit(kind)
    speed = values(rows, ours, "tflops") * factor
    if speed.empty:
        return [f"{label(ours)} was ok on no layer."]
    said = [
        f"{label(ours)} reaches {number(speed.min())} ({speed.idxmin()}) to {number(speed.max())} {unit} "
        f"({speed.idxmax()}) over {plural(len(speed), 'layer')}."
    ]
    for baseline in baselines:
        over = ratio(rows, ours, baseline, "tflops")
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


def _other_batches(archive: Archive, selection: Selection, ours: str) -> list[str]:
    """Against the best cuDNN at the batches other than that of `selection`."""
    parts = []
    for batch in sorted(set(archive.measurements["batch"]) - {selection.batch}):
        rows = with_best_cudnn(rows_of(archive.measurements, replace(selection, batch=batch)))
        over = ratio(rows, ours, BEST_CUDNN, "tflops")
        if not over.empty:
            parts.append(f"on {_ahead(over)} at batch {batch} ({number(geometric_mean(over))}x in the geometric mean)")
    return [f"It is faster than {label(BEST_CUDNN)} {names(parts)}."] if parts else []


def _ahead(over: pd.Series) -> str:
    """On how many of the layers a ratio is above 1."""
    return f"{(over > 1).sum()} of {plural(len(over), 'layer')}"


def _compensated(archive: Archive, selection: Selection, rows: pd.DataFrame) -> list[str]:
    """The kernel of the class fp32_accurate, against the best cuDNN of `rows`, which are of `selection`."""
    both = pd.concat([rows, compensated(archive.measurements, selection)])
    speed, over = values(both, COMPENSATED, "tflops"), ratio(both, COMPENSATED, BEST_CUDNN, "tflops")
    if over.empty:
        return []
    return [
        f"im2win on tensor cores with error compensation (class {ACCURATE}) reaches {number(speed.min())} "
        f"({speed.idxmin()}) to {number(speed.max())} TFLOPS ({speed.idxmax()}) and is faster than {label(BEST_CUDNN)} "
        f"in {selection.numerics} on {_ahead(over)}: "
        f"{number(geometric_mean(over))}x in the geometric mean, {number(over.min())}x ({over.idxmin()}) to "
        f"{number(over.max())}x ({over.idxmax()})."
    ]


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
    for baseline in ("im2col_cublas", BEST_CUDNN):
        saved = 100 * (1 - ratio(rows, "im2win", baseline, metric.column))
        if not saved.empty:
            kind = "less" if saved.mean() >= 0 else "more"
            parts.append(
                f"{number(abs(saved.mean()))} % {kind} memory than {label(baseline)} ({plural(len(saved), 'layer')})"
            )
    what = f"{metric.label}{f' ({constant})' if constant else ''}"
    return [f"On average im2win takes {names(parts)}; memory is the {what}."] if parts else []


def _ablation(archive: Archive) -> list[str]:
    selection = pick(archive.measurements, ("kernel_only", "end_to_end", "authors"), having=ABLATED)
    if selection is None:
        return ["The ablation was not measured."]
    rows = rows_of(archive.measurements, selection)
    losses = {name: ratio(rows, "im2win", name, "tflops") for name in ALL_ABLATED}
    found = {name: loss for name, loss in losses.items() if not loss.empty}
    if not found:
        return ["No ablated variant was ok on a layer where im2win is."]
    parts = [
        f"{number(loss.mean())}x as fast as {label(name)} ({plural(len(loss), 'layer')})"
        for name, loss in sorted(found.items(), key=lambda item: -item[1].mean())
    ]
    return [f"In the ablation ({selection.protocol}), im2win is on average {names(parts)}."]


def _outcomes(archive: Archive) -> str:
    points = archive.measurements.drop_duplicates(list(POINT_KEY))
    bad = archive.measurements[archive.measurements["status"] != "ok"].drop_duplicates(list(POINT_KEY))
    if bad.empty:
        return f"All {plural(len(points), 'point')} are ok."
    parts = []
    for status, group in bad.groupby("status"):
        whose = names(label(name) for name in dict.fromkeys(group["algorithm"]))
        parts.append(f"{len(group)} {str(status).replace('_', ' ')} ({whose})")
    return f"{len(points) - len(bad)} of {plural(len(points), 'point')} are ok; {names(parts)}."


def about_the_paper() -> list[str]:
    """Explain what in the paper's own data a reader should know before comparing."""
    return [
        "Time x TFLOPS in the authors' logs is the work of batch 64 with 32 input channels in conv4, while the "
        "artifact's text says batch 128 and the layer table 64 channels. So suite `paper_table` has 64 channels and "
        "suite `authors_log` has 32; both are measured at batch 64 unless told otherwise.",
        "The authors start the clock after the im2win transform and take the minimum of 100 runs for their kernel, but "
        "the mean for the libraries. Our `end_to_end` counts the transform, `kernel_only` does not, and `authors` does "
        "as they did.",
    ]

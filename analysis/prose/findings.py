"""The findings at the beginning of a report, every number computed from the data.

A finding is one sentence with two numbers at most. What else there is to say stands in tables.
"""

import pandas as pd

from analysis.numbers.algorithms import STRICT, ablations, in_paper, label, paper
from analysis.numbers.judged import headline_claims
from analysis.numbers.networks import BASELINE, OURS, OURS_ACCURATE
from analysis.numbers.overview import PAPER, Overview, overview
from analysis.numbers.series import (
    decisive_layer,
    geometric_mean,
    headline,
    memory_baselines,
    memory_metric,
    pick,
    ratio,
    rows_of,
    values,
)
from analysis.numbers.staleness import Staleness
from analysis.numbers.verdicts import NOT_TESTABLE, REPRODUCED
from analysis.table.archive import Archive
from analysis.table.schema import POINT_KEY
from analysis.writing.phrases import names, number, plural
from analysis.writing.tables import DAGGER

#: Said once on each page, for all ratios on it.
MEANS = "Means of ratios are geometric."


def measured(archive: Archive) -> str:
    """Say what the findings are about."""
    if archive.measurements.empty:
        return f"Measured on {archive.device_name}: networks alone, and none of the paper's layers."
    return f"Measured on {archive.device_name} ({headline(archive)[0]}). {MEANS}"


def findings(archive: Archive, judged: pd.DataFrame) -> list[str]:
    """Summarize the headline of a table without its networks in six sentences at most."""
    if archive.measurements.empty:
        return []
    found = overview(archive)
    said = [_verdicts(archive, judged), _paper(archive), _strict(found), _accurate(found)]
    if archive.device_kind == "cuda":
        said += [_memory(archive), _ablation(archive)]
    return [sentence for sentence in said if sentence]


def _verdicts(archive: Archive, judged: pd.DataFrame) -> str:
    group = headline_claims(judged, archive)
    if group.empty:
        return ""
    if set(group["verdict"]) == {NOT_TESTABLE}:
        why = f" ({'; '.join(reasons)})" if (reasons := list(dict.fromkeys(group["reason"]))) != [""] else ""
        return f"None of the paper's {plural(len(group), 'claim')} is testable here{why}."
    count = int((group["verdict"] == REPRODUCED).sum())
    return f"Of the paper's {plural(len(group), 'claim')}, {count} {'is' if count == 1 else 'are'} {REPRODUCED}."


def _paper(archive: Archive) -> str:
    """Compare the paper's kernel with its two most important baselines."""
    rows, kind = headline(archive)[1], archive.device_kind
    mine = paper(kind)
    if values(rows, mine, "time_ms").empty:
        return f"{label(mine)}, the paper's kernel, has no result on any layer."
    speeds = {name: ratio(rows, mine, name, "tflops") for name in in_paper(kind) if name != mine}
    parts = [f"{_mean(over)} as fast as {label(name)}" for name, over in speeds.items() if not over.empty][:2]
    return f"{label(mine)}, the paper's kernel, is {names(parts)}." if parts else ""


def _strict(found: Overview) -> str:
    over = found.over(OURS)
    if over.empty or over.equals(found.over(PAPER)):
        return ""
    chosen = set(found.best[OURS]["algorithm"])
    who = f"The fastest of our kernels in {STRICT}" if len(chosen) > 1 else label(chosen.pop())
    return f"{who} is {_mean(over)} as fast as {found.sides[BASELINE].label}, and faster {_where(over)}."


def _accurate(found: Overview) -> str:
    over = found.over(OURS_ACCURATE)
    if over.empty:
        return ""
    return (
        f"On tensor cores with error compensation, which is as accurate as FP32, our kernels are {_mean(over)} as fast "
        f"as {found.sides[BASELINE].label}, and faster {_where(over)}."
    )


def _mean(over: pd.Series) -> str:
    return f"{number(geometric_mean(over))}x"


def _where(over: pd.Series) -> str:
    ahead = int((over > 1).sum())
    return f"on {'every layer' if ahead == len(over) else plural(ahead, 'layer') if ahead else 'no layer'}"


def _memory(archive: Archive) -> str:
    rows = headline(archive)[1]
    metric, parts, decisive = memory_metric(rows), [], []
    for baseline in memory_baselines(archive.device_kind):
        saved = 100 * (1 - ratio(rows, paper(), baseline, metric.column))
        if saved.empty:
            continue
        less = "less" if saved.mean() >= 0 else "more"
        parts.append(f"{number(abs(saved.mean()))} % {less} memory than {label(baseline)}")
        decisive.append(decisive_layer(saved))
    if not parts:
        return ""
    layer = f", mostly because of {decisive[0]}" if decisive[0] and len(set(decisive)) == 1 else ""
    return f"{label(paper())} takes {names(parts)} in the mean over the layers{layer}."


def _ablation(archive: Archive) -> str:
    selection = pick(archive.measurements, ("kernel_only", "end_to_end", "authors"), having=ablations())
    if selection is None:
        return ""
    rows = rows_of(archive.measurements, selection)
    losses = {name: ratio(rows, paper(), name, "tflops") for name in ablations()}
    means = {name: geometric_mean(loss) for name, loss in losses.items() if not loss.empty}
    if not means:
        return ""
    first = max(means, key=lambda name: means[name])
    return f"In the ablation, {label(paper())} is {number(means[first])}x as fast as {label(first)}, its greatest loss."


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

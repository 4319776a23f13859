"""Compare two results tables point by point: faster, slower or ambiguous, with the interval of each ratio.

A ratio is the second table's time over the first's. Its 95 % interval comes from the raw samples of both, resampled
independently (`analysis.numbers.bootstrap`). It covers the noise within a measuring process, but not the variation
between days or machines, so nearly every difference between two runs is significant. Whether the times agree within 2 %
is therefore reported beside the verdict.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.frames.devices import device_names
from analysis.numbers.algorithms import label
from analysis.numbers.bootstrap import Numbers, interval, resample, statistic_of
from analysis.numbers.series import PROTOCOLS
from analysis.table.archive import Archive
from analysis.table.order import natural_key
from analysis.table.schema import KEY
from analysis.writing.phrases import names, number, plural
from analysis.writing.tables import Block, Table

#: Two times agree if they differ by no more than this share; two runs do if this share of their medians agrees.
AGREEING, ENOUGH = 0.02, 0.95
FASTER, SLOWER, AMBIGUOUS = "faster", "slower", "ambiguous"
#: Verdicts on points that have no time in at least one of the tables.
SAME_OUTCOME, OTHER_OUTCOME = "same outcome", "other outcome"
#: The key of a point in both tables; the name of the experiment may differ.
SHARED = tuple(column for column in KEY if column != "experiment")
#: At most so many points are listed in Markdown.
LISTED = 40


def compare_points(first: Archive, second: Archive) -> pd.DataFrame:
    """Compare every row that both tables have, by SHARED, in natural order; ratios are second over first.

    `agrees` says whether both times are within AGREEING; it is empty where one has no time.
    """
    both = first.measurements.merge(second.measurements, on=list(SHARED), suffixes=("_first", "_second"))
    columns = ["source_hash", "status", "time_ms"]
    frame = both[[*SHARED, *(f"{name}_{which}" for name in columns for which in ("first", "second"))]].copy()
    samples = [_samples(archive) for archive in (first, second)]
    compared = (frame["status_first"] == "ok") & (frame["status_second"] == "ok")
    verdicts, lows, highs = [], [], []
    for row, is_ok in zip(frame.to_dict("records"), compared, strict=True):
        if not is_ok:
            same = row["status_first"] == row["status_second"]
            verdicts.append(SAME_OUTCOME if same else OTHER_OUTCOME)
            lows.append(float("nan"))
            highs.append(float("nan"))
            continue
        low, high = _interval(row, samples)
        verdicts.append(FASTER if high < 1 else SLOWER if low > 1 else AMBIGUOUS)
        lows.append(low)
        highs.append(high)
    frame["ratio"] = (frame["time_ms_second"] / frame["time_ms_first"]).where(compared)
    frame["ratio_low"], frame["ratio_high"], frame["verdict"] = lows, highs, verdicts
    frame["agrees"] = ((frame["ratio"] - 1).abs() <= AGREEING).where(compared, "")
    frame["same_sources"] = frame.pop("source_hash_first") == frame.pop("source_hash_second")
    order = sorted(frame.index, key=lambda index: [natural_key(str(frame.at[index, column])) for column in SHARED])
    return frame.loc[order].reset_index(drop=True)


def _samples(archive: Archive) -> dict[tuple[object, ...], Numbers]:
    return {key: part.to_numpy() for key, part in archive.samples().groupby(list(SHARED), sort=False)["time_ms"]}


def _interval(row: dict[str, object], samples: Sequence[dict[tuple[object, ...], Numbers]]) -> tuple[float, float]:
    """Compute the interval of one row's ratio; the seeds come from its key, so it does not depend on other rows."""
    key = tuple(row[column] for column in SHARED)
    statistic = statistic_of(str(row["protocol"]), str(row["algorithm"]))
    times = []
    for index, of_table in enumerate(samples):
        seed = zlib.crc32("/".join(str(part) for part in (index, *key)).encode())
        times.append(resample(of_table[key], statistic, seed))
    return interval(np.asarray(times[1] / times[0]))


def agreement(points: pd.DataFrame) -> tuple[int, int]:
    """Count the medians that agree, and all medians; minima and means (protocol `authors`) are left out."""
    rows = [
        bool(row["agrees"])
        for row in points.to_dict("records")
        if row["ratio"] == row["ratio"] and statistic_of(row["protocol"], row["algorithm"]) == "median"
    ]
    return sum(rows), len(rows)


def is_repeated(points: pd.DataFrame) -> bool:
    """Whether enough of the medians agree."""
    agreeing, count = agreement(points)
    return bool(count) and agreeing >= ENOUGH * count


def findings(points: pd.DataFrame, archives: Sequence[Archive], first: str, second: str) -> list[str]:
    """Summarize the comparison of two tables, called `first` and `second`: all medians, then each protocol."""
    agreeing, count = agreement(points)
    if not len(points):
        return [f"{first} and {second} have no point in common."]
    said, within = [], f"{100 * AGREEING:.0f} %"
    if count:
        share = f"{agreeing} of {count} medians agree within {within} ({number(100 * agreeing / count)} %)"
        if len({archive.device_name for archive in archives}) == 1:
            repeat = "repeat" if is_repeated(points) else "**do not** repeat"
            share += f": by the rule of {100 * ENOUGH:.0f} % the two runs {repeat} each other"
        said.append(f"{share}.")
    for protocol in sorted(points["protocol"].unique(), key=lambda one: (one not in PROTOCOLS, one)):
        rows = points[(points["protocol"] == protocol) & points["ratio"].notna()]
        if rows.empty:
            continue
        counts = rows["verdict"].value_counts()
        each = names(f"{verdict} on {counts.get(verdict, 0)}" for verdict in (FASTER, SLOWER, AMBIGUOUS))
        furthest = rows.loc[(np.log(rows["ratio"])).abs().idxmax()]
        said.append(
            f"{protocol}: of {plural(len(rows), 'point')} that are ok in both, {second} is {each} against {first}; "
            f"{int(rows['agrees'].sum())} agree within {within}. "
            f"The median ratio of times is {rows['ratio'].median():.4f}; the furthest from 1 is "
            f"{label(furthest['algorithm'])} on {furthest['layer']}, {furthest['ratio']:.3f} "
            f"[{furthest['ratio_low']:.3f} to {furthest['ratio_high']:.3f}]."
        )
    other = points[points["verdict"] == OTHER_OUTCOME]
    if len(other):
        said.append(f"{plural(len(other), 'row has', 'rows have')} another outcome in {second}.")
    changed = points[~points["same_sources"] & points["ratio"].notna()]
    if len(changed):
        whose = names(label(name) for name in sorted(changed["algorithm"].unique()))
        said.append(f"The sources of {whose} differ between the two.")
    return said


def table(archives: Sequence[Archive], compared: Sequence[pd.DataFrame]) -> Table:
    """Make the table of all points; its Markdown lists only those on which two tables disagree."""
    called = device_names(archives)
    frames, blocks = [], []
    for second, name, points in zip(archives[1:], called[1:], compared, strict=True):
        points = points.copy()
        points.insert(0, "second", name)
        points.insert(0, "first", called[0])
        frames.append(points)
        heading = f"{name} against {called[0]}"
        note = "".join(
            f"* {sentence}\n" for sentence in findings(points, (archives[0], second), called[0], name)
        ).strip()
        apart = points[(points["agrees"] == False) | (points["verdict"] == OTHER_OUTCOME)]  # noqa: E712 (may be empty)
        far = apart["ratio"].map(np.log).abs().fillna(np.inf).sort_values(ascending=False, kind="stable").index
        rows = [_cells(points.loc[index]) for index in far[:LISTED]]
        if len(apart) > LISTED:
            note += f"\n\nThe {LISTED} that are furthest apart, of {len(apart)} that do not agree (the CSV has all):"
        elif rows:
            note += "\n\nThose that do not agree:"
        header = ["layer", "algorithm", "protocol", "numerics", "batch", "first, ms", "second, ms", "ratio", "95 %", ""]
        blocks.append(Block(header, rows, (0, 1, 2, 3, 9), heading, note))
    return Table("Point by point", pd.concat(frames, ignore_index=True), tuple(blocks))


def _cells(row: pd.Series) -> list[str]:
    times = [
        number(row[f"time_ms_{which}"], 4) if row[f"status_{which}"] == "ok" else str(row[f"status_{which}"])
        for which in ("first", "second")
    ]
    between = "-" if pd.isna(row["ratio"]) else f"{row['ratio_low']:.3f} to {row['ratio_high']:.3f}"
    ratio = "-" if pd.isna(row["ratio"]) else f"{row['ratio']:.3f}"
    named = [row["layer"], label(row["algorithm"]), row["protocol"], row["numerics"], str(row["batch"])]
    return [*named, *times, ratio, between, row["verdict"]]

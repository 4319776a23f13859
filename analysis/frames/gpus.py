"""The GPUs of a host: how much they differ on the anchor points, which all of them measure, and how busy they were."""

from datetime import datetime

import pandas as pd

from analysis.numbers.algorithms import label
from analysis.table.archive import Archive
from analysis.writing.phrases import number, plural
from analysis.writing.tables import Block, Table

TITLE = "How much the GPUs of a host differ"
#: The key of an anchor point.
ANCHOR = ["suite", "numerics", "batch", "layer", "algorithm", "protocol"]
#: The first characters of a UUID are enough to distinguish the GPUs.
SHORT = 12
USE_TITLE = "How busy the GPUs were"
#: A host that is idle for longer than this between two points (seconds) has begun another run.
PAUSE = 60


def compare_gpus(archive: Archive) -> Table | None:
    """Make a table of the anchors' times on each GPU and the excess over the fastest GPU; None for fewer than two GPUs.

    `provenance["anchors"]` holds a row for each anchor and GPU: ANCHOR, gpu (UUID), time_ms, time_ms_low, time_ms_high;
    times in ms.
    """
    frame = pd.DataFrame(archive.provenance.get("anchors", []), columns=["gpu", *ANCHOR, "time_ms"])
    times = frame.pivot_table(index=ANCHOR, columns="gpu", values="time_ms", sort=False).dropna()
    if times.shape[1] < 2 or times.empty:
        return None
    over = times.div(times.min(axis=1), axis=0) - 1
    shown = [
        [
            key[3],
            label(str(key[4])),
            *(f"{number(time)} (+{share:.2%})" for time, share in zip(line, more, strict=True)),
        ]
        for key, line, more in zip(times.index, times.to_numpy(), over.to_numpy(), strict=True)
    ]
    header = ["layer", "algorithm", *(f"{gpu[:SHORT]}, ms" for gpu in times.columns)]
    longer = ", ".join(f"{gpu[:SHORT]} {share:.2%}" for gpu, share in over.mean().items())
    # Points from an archive that was restored before the run, or from GPUs that are not in the host any more.
    elsewhere = [
        point
        for point in archive.provenance.get("points", [])
        if (point.get("run") or {}).get("uuid") not in (None, "", *times.columns)
    ]
    but = f", but for {plural(len(elsewhere), 'point')} on GPUs that are not compared here" if elsewhere else ""
    closing = (
        f"An anchor's median differs by {over.max(axis=1).max():.2%} between two GPUs at most. On average over the "
        f"anchors a GPU takes longer than the fastest one by: {longer}. All other points are measured once, each on "
        f"one of these GPUs{but}."
    )
    return Table(TITLE, times.reset_index(), (Block(header, shown, texts=(0, 1)),), closing)


def use_of_gpus(archive: Archive) -> Table | None:
    """Compare the time that points kept a GPU busy with the time that passed; None if no GPU measured any.

    A row is one host between two pauses. A point has its GPU to itself, so the ratio is the speedup over a single GPU.
    Times are in seconds, from `run` of the points in `provenance`: `started`, `seconds` of each part, `uuid`.
    """
    environments = archive.provenance.get("environments", [])
    found = [
        (environments[point["environment"]]["host"], run["uuid"], begin, begin + busy, busy)
        for point in archive.provenance.get("points", [])
        if (run := point.get("run", {})).get("uuid") and (busy := sum(run.get("seconds", {}).values()))
        for begin in [datetime.fromisoformat(run["started"]).timestamp()]
    ]
    if not found:
        return None
    points = pd.DataFrame(found, columns=["host", "gpu", "begin", "end", "busy"]).sort_values("begin", kind="stable")
    latest = points.groupby("host")["end"].cummax().groupby(points["host"]).shift()
    points["run"] = (points["begin"] > latest + PAUSE).groupby(points["host"]).cumsum()
    runs = points.groupby(["host", "run"], sort=False)
    frame = runs.agg(gpus=("gpu", "nunique"), points=("gpu", "size"), busy_s=("busy", "sum")).reset_index("host")
    frame["elapsed_s"] = (runs["end"].max() - runs["begin"].min()).to_numpy()
    frame["times_one_gpu"] = frame["busy_s"] / frame["elapsed_s"]
    header = ["host", "GPUs", "points", "a GPU was busy for, s", "elapsed, s", "times one GPU's speed"]
    shown = [[row[0], row[1], row[2], *(number(value) for value in row[3:])] for row in frame.itertuples(index=False)]
    closing = (
        f"A row is a host between two pauses of more than {PAUSE} s. A point has a GPU to itself, so one GPU alone "
        "would have needed at least the time for which the points kept a GPU busy. If a point was measured again, only "
        "the last time is recorded, and its GPU seems idle during the first. Hosts are identified by a hash."
    )
    return Table(USE_TITLE, frame, (Block(header, shown),), closing)

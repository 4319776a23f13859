"""How much the GPUs of one host differ: the anchors of an experiment, which every one of them measured."""

import pandas as pd

from analysis.blocks import Block, Table
from analysis.series import label
from analysis.table import Archive
from analysis.text import number

TITLE = "GPUs of this host"
#: What tells one anchor from another, and how an anchor is told.
ANCHOR = ["suite", "numerics", "batch", "layer", "algorithm", "protocol"]
#: As many characters of a UUID tell GPUs apart.
SHORT = 12


def compare_gpus(archive: Archive) -> Table | None:
    """Lay the times of the anchors over the GPUs, each beside the fastest one's; None where fewer than two had any.

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
    closing = (
        f"An anchor's median differs by {over.max(axis=1).max():.2%} between two GPUs at most. On average over the "
        f"anchors a GPU takes longer than the fastest one by: {longer}. All other points are measured once, each on "
        "one of these GPUs."
    )
    return Table(TITLE, times.reset_index(), (Block(header, shown, texts=(0, 1)),), closing)

"""The verdicts on the paper's claims, side by side for several machines."""

from collections.abc import Sequence

import pandas as pd

from analysis.frames.devices import device_names
from analysis.numbers.judged import under_every_protocol, verdict_text
from analysis.numbers.series import PROTOCOLS, Selection
from analysis.numbers.verdicts import SELECTED, judge
from analysis.table.archive import Archive
from analysis.writing.phrases import quantity
from analysis.writing.tables import Block, Table

TITLE = "Claims of the paper on each machine"
KEPT = ("claim", "statement", *SELECTED, "published", "measured", "measured_low", "measured_high", "unit", "layers")


def claims(archives: Sequence[Archive]) -> Table:
    """Make a table with a row per claim and a column per machine, for each protocol; every machine is judged alone."""
    judged = {
        name: under_every_protocol(judge(archive), archive)
        for name, archive in zip(device_names(archives), archives, strict=True)
    }
    parts = [one[[*KEPT, "verdict", "reason"]].assign(device=name) for name, one in judged.items()]
    frame = pd.concat(parts, ignore_index=True)
    frame.insert(0, "device", frame.pop("device"))
    blocks = [_block(judged, protocol) for protocol in PROTOCOLS if protocol in set(frame["protocol"])]
    selected = {name: Selection(*one[list(SELECTED)].iloc[0]) for name, one in judged.items() if not one.empty}
    measured = "; ".join(
        f"{name}: suite {one.suite}, batch {one.batch}, {one.numerics}" for name, one in selected.items()
    )
    return Table(TITLE, frame, tuple(blocks), f"Measured on {measured}.")


def _block(judged: dict[str, pd.DataFrame], protocol: str) -> Block:
    columns = {name: one[one["protocol"] == protocol].set_index("claim") for name, one in judged.items()}
    known = pd.concat(columns.values())
    known = known[~known.index.duplicated()]
    lines = [
        [
            row["statement"],
            *(verdict_text(one.loc[claim]) if claim in one.index else "-" for one in columns.values()),
            quantity(row["published"], row["unit"]),
        ]
        for claim, row in known.iterrows()
    ]
    header = ["claim", *columns, "published"]
    return Block(header, lines, texts=range(len(header)), heading=protocol)

"""The sides of the headline, each with its fastest algorithm on every layer: cuDNN, the paper's kernel, and ours.

Who belongs to a side follows from role and class of arithmetic in conf/algorithm/, so that a new algorithm takes part.
"""

from dataclasses import dataclass, replace

import pandas as pd

from analysis.numbers.algorithms import STRICT, label, paper
from analysis.numbers.networks import BASELINE, OURS, OURS_ACCURATE, REDUCED, Side, fastest, sides
from analysis.numbers.series import NOT_MEASURED, Selection, divide, headline, layer_order, rows_of
from analysis.table.archive import Archive

PAPER = "paper"
#: In the order of the figure: what is compared with, then the paper's kernel, ours, and cuDNN's reduced arithmetic.
SHOWN = (BASELINE, PAPER, OURS, OURS_ACCURATE, REDUCED)


@dataclass(frozen=True, eq=False)
class Overview:
    """The headline's layers; `best` has for each side its fastest row on each layer (index layer)."""

    selection: Selection
    layers: list[str]
    rows: pd.DataFrame
    sides: dict[str, Side]
    best: dict[str, pd.DataFrame]

    def over(self, side: str) -> pd.Series:
        """Divide the baseline's times by a side's: above 1 the side is faster. Only layers where both have a result."""
        if side not in self.best:
            return pd.Series(dtype=float)
        return divide(self.best[BASELINE]["time_ms"], self.best[side]["time_ms"])

    def state(self, side: str, layer: str) -> tuple[str, str]:
        """Give the status and the reason of a side without a result on a layer: those that its rows share."""
        one = self.sides[side]
        rows = self.rows[(self.rows["layer"] == layer) & self.rows["numerics"].isin(one.classes)]
        rows = rows[rows["algorithm"].map(one.takes).astype(bool)]
        states = set(rows["status"])
        status = NOT_MEASURED if not states else states.pop() if len(states) == 1 else "failed"
        return status, "; ".join(dict.fromkeys(reason for reason in rows["reason"] if reason))


def overview(archive: Archive, batch: int = 0) -> Overview:
    """Find the sides of a table's headline, or of the same at another batch.

    A class of arithmetic that was not measured leaves its side empty.
    """
    (selection, _), kind = headline(archive), archive.device_kind
    selection = replace(selection, batch=batch or selection.batch)
    classes = sorted(archive.measurements["numerics"].unique())
    rows = pd.concat(
        [rows_of(archive.measurements, replace(selection, numerics=one)) for one in classes], ignore_index=True
    )
    every = sides(kind) | {
        PAPER: Side(PAPER, f"{label(paper(kind))} as in the paper", (STRICT,), lambda name: name == paper(kind))
    }
    every[BASELINE] = replace(every[BASELINE], label=f"{every[BASELINE].label} in strict FP32")
    shown = {name: every[name] for name in SHOWN if name in every}
    best = {name: fastest(rows, side) for name, side in shown.items()}
    return Overview(selection, layer_order(rows["layer"]), rows, shown, best)

"""Networks: the sums over all convolutions of a forward pass, for each way of computing them.

A suite is a network if networks.csv, beside the results table, lists its layers. A total is the sum of count x median
over layers, and two totals are compared over the same layers: those on which both sides have a result.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.numbers.algorithms import (
    ACCURATE,
    AS_IT_COMES,
    OLDER_INTERFACE,
    STRICT,
    TF32,
    YARDSTICKS,
    about,
    is_cudnn,
    is_ours,
    is_reduced_baseline,
    label,
)
from analysis.numbers.bootstrap import Numbers, Resampler, interval
from analysis.numbers.layers import kind_of, layer_sizes
from analysis.numbers.series import NOT_MEASURED, Selection, rows_of, selections
from analysis.table.archive import Archive, read
from analysis.table.companions import NETWORKS, read_networks
from analysis.table.errors import RESTORE, ArchiveError
from analysis.table.samples import Samples
from analysis.table.sizes import flops

#: The sides of a comparison: what computes each layer of a network.
PYTORCH, OLDER, BASELINE, REDUCED = "pytorch", "older", "baseline", "tf32"
OURS, OURS_ACCURATE, MIX = "ours", "ours_accurate", "mix"


@dataclass(frozen=True)
class Side:
    """A way of computing all layers of a network: of each layer the fastest of some algorithms in some classes."""

    name: str
    label: str
    classes: tuple[str, ...]
    takes: Callable[[str], bool]


def sides(kind: str) -> dict[str, Side]:
    """List the sides on a kind of device, as figures show them: the baselines, and the best mix of ours last."""
    if kind == "cpu":  # PyTorch is the baseline itself there
        first = [Side(BASELINE, label(YARDSTICKS[kind]), (STRICT,), lambda name: name == YARDSTICKS[kind])]
    else:
        first = [
            Side(PYTORCH, "PyTorch as it comes", (STRICT,), lambda name: name == AS_IT_COMES[kind]),
            Side(OLDER, "cuDNN's older interface", (STRICT,), lambda name: name == OLDER_INTERFACE),
            Side(BASELINE, label(YARDSTICKS[kind]), (STRICT,), is_cudnn),
            Side(REDUCED, "cuDNN in TF32", (TF32,), is_reduced_baseline),
        ]
    last = [
        Side(OURS, "ours, strict FP32", (STRICT,), is_ours),
        Side(OURS_ACCURATE, "ours, FP32-accurate", (ACCURATE,), is_ours),
        Side(MIX, "best mix of ours", (STRICT, ACCURATE), is_ours),
    ]
    return {side.name: side for side in (*first, *last)}


@dataclass(frozen=True, eq=False)
class Network:
    """One network at one batch.

    `layers` has a row for each layer, in the network's order (index layer): count, flops (of one image and one run;
    if it is not supported they may be 0, as they depend on the data), unsupported (a reason or empty), source and
    kind (empty where the layer's sizes are not known). `best` has for each side its fastest row on each layer (index
    layer; time_ms of one run, algorithm, numerics).
    """

    selection: Selection
    layers: pd.DataFrame
    rows: pd.DataFrame
    sides: dict[str, Side]
    best: dict[str, pd.DataFrame]

    @property
    def name(self) -> str:
        """The name of its suite."""
        return self.selection.suite

    def __str__(self) -> str:
        """Name it for people, e.g. resnet50, batch 64."""
        return f"{self.name}, batch {self.selection.batch}"

    @property
    def supported(self) -> list[str]:
        """The layers that can be measured."""
        return list(self.layers.index[self.layers["unsupported"] == ""])

    def time(self, side: str) -> pd.Series:
        """Give the time (ms) that a forward pass spends on each layer: count x median."""
        times = self.best[side]["time_ms"]
        return times * self.layers["count"].reindex(times.index)

    def share_of_flops(self, layers: list[str]) -> float:
        """Give the share of the network's FLOPs that some layers have, in %."""
        work = self.layers["count"] * self.layers["flops"]
        return float(100 * work[layers].sum() / work.sum())

    def state(self, side: str, layer: str) -> str:
        """Say why a side has no result on a layer: the status that its rows share, `failed` where they differ."""
        one = self.sides[side]
        rows = self.rows[(self.rows["layer"] == layer) & self.rows["numerics"].isin(one.classes)]
        found = set(rows.loc[rows["algorithm"].map(one.takes).astype(bool), "status"])
        if self.layers.at[layer, "unsupported"]:
            return "unsupported"
        return NOT_MEASURED if not found else found.pop() if len(found) == 1 else "failed"


@dataclass(frozen=True)
class Comparison:
    """Two totals (ms) over the same layers, and the 95 % interval of their ratio; NaN where there is no such layer."""

    layers: tuple[str, ...]
    theirs: float = float("nan")
    mine: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")

    @property
    def speedup(self) -> float:
        """How many times as fast mine is."""
        return self.theirs / self.mine


def compare(network: Network, baseline: str, mine: str = MIX, resampler: Resampler | None = None) -> Comparison:
    """Compare the totals of two sides; the interval, from the raw samples, only with a `resampler`."""
    if baseline not in network.sides:
        return Comparison(())
    times = [network.time(side) for side in (baseline, mine)]
    common = [layer for layer in network.layers.index if all(layer in one.index for one in times)]
    if not common:
        return Comparison(())
    theirs, ours = (float(one[common].sum()) for one in times)
    low = high = float("nan")
    if resampler:
        totals = [_resampled(network, side, common, resampler) for side in (baseline, mine)]
        low, high = interval(np.asarray(totals[0] / totals[1]))
    return Comparison(tuple(common), theirs, ours, low, high)


def against_baselines(network: Network, resampler: Resampler | None = None) -> dict[str, Comparison]:
    """Compare the best mix of ours with the best baseline of each layer, with PyTorch as it comes, and with TF32."""
    wanted = [name for name in (BASELINE, PYTORCH, REDUCED) if name in network.sides]
    return {name: compare(network, name, MIX, resampler) for name in wanted}


def _resampled(network: Network, side: str, layers: list[str], resampler: Resampler) -> Numbers:
    """Give the resampled totals (ms) of a side; each resample chooses the fastest of each layer again."""
    one = network.sides[side]
    found: dict[str, list[Numbers]] = {layer: [] for layer in layers}
    for numerics in one.classes:
        rows = network.rows[(network.rows["numerics"] == numerics) & network.rows["layer"].isin(layers)]
        members = [name for name in rows["algorithm"].unique() if one.takes(name)]
        frame = resampler.frame(rows, replace(network.selection, numerics=numerics), members)
        for layer in frame.columns:
            found[layer].append(frame[layer].to_numpy())
    totals = [network.layers.at[layer, "count"] * np.minimum.reduce(times) for layer, times in found.items()]
    return np.asarray(np.sum(totals, axis=0))


def fastest(rows: pd.DataFrame, side: Side) -> pd.DataFrame:
    """Take the fastest ok row of each layer.

    Of equal times the one of the stricter class is taken, then the first in order: the one that promises more.
    """
    rows = rows[(rows["status"] == "ok") & rows["numerics"].isin(side.classes)]
    rows = rows[rows["algorithm"].map(side.takes).astype(bool)]
    rows = rows.assign(
        stricter=rows["numerics"].map(side.classes.index), order=rows["algorithm"].map(lambda name: about(name).order)
    )
    rows = rows.sort_values(["time_ms", "stricter", "order", "algorithm"]).drop_duplicates("layer")
    return rows.set_index("layer")[["time_ms", "algorithm", "numerics"]]


def networks(archive: Archive) -> tuple[Network, ...]:
    """Find the networks of a table, in the order of networks.csv and each with its first batch first.

    Each is taken under the first protocol that it was measured under. Raises ArchiveError where networks.csv does not
    go with the table.
    """
    listed = read_networks(archive.folder)
    if listed.empty:
        return ()
    listed = _checked(archive, listed)
    measured = archive.measurements[archive.measurements["suite"].isin(set(listed["suite"]))]
    first: dict[Selection, Selection] = {}
    for one in selections(measured):
        first.setdefault(replace(one, protocol="", numerics=STRICT), replace(one, numerics=STRICT))
    found = []
    for suite in dict.fromkeys(listed["suite"]):
        layers = listed[listed["suite"] == suite].set_index("layer").drop(columns="suite")
        for one in first.values():
            if one.suite == suite:
                found.append(_network(archive.device_kind, one, layers, measured))
    return tuple(found)


def _network(kind: str, selection: Selection, layers: pd.DataFrame, measured: pd.DataFrame) -> Network:
    classes = sorted(measured["numerics"].unique())
    rows = pd.concat([rows_of(measured, replace(selection, numerics=one)) for one in classes], ignore_index=True)
    every = sides(kind)
    return Network(selection, layers, rows, every, {name: fastest(rows, side) for name, side in every.items()})


def _checked(archive: Archive, listed: pd.DataFrame) -> pd.DataFrame:
    """Check networks.csv against the table and add the kinds of the layers. Raises ArchiveError."""
    sizes = layer_sizes(archive)
    known = set(zip(listed["suite"], listed["layer"], strict=True))
    suites = set(listed["suite"])
    for suite, layer in archive.measurements[["suite", "layer"]].drop_duplicates().to_numpy().tolist():
        if suite in suites and (suite, layer) not in known:
            raise ArchiveError(archive.folder / NETWORKS, f"{suite}/{layer} is measured, but not listed", RESTORE)
    kinds = []
    for row in listed.to_dict("records"):
        size = sizes.get((row["suite"], row["layer"]))
        if size and row["flops"] != flops(size):
            wrong = f"{row['suite']}/{row['layer']}: flops is {row['flops']}, but its sizes give {flops(size)}"
            raise ArchiveError(archive.folder / NETWORKS, wrong, RESTORE)
        kinds.append(kind_of(size) if size else "")
    return listed.assign(kind=kinds)


def unmeasured(archive: Archive) -> list[str]:
    """List the networks of networks.csv of which the table has no row."""
    there = set(archive.measurements["suite"])
    return [suite for suite in dict.fromkeys(read_networks(archive.folder)["suite"]) if suite not in there]


def with_networks(archive: Archive) -> Archive:
    """Take the archive or, if it has no networks, the first one beside it that has; else the archive."""
    folder = archive.folder
    if not read_networks(folder).empty:
        return archive
    others = [one for one in sorted(folder.parent.iterdir()) if one.is_dir() and not read_networks(one).empty]
    return _other(others[0]) if others else archive


@cache
def _other(folder: Path) -> Archive:
    return read(folder)


def without_networks(archive: Archive) -> Archive:
    """Leave the networks out of a table, so that the paper's figures, claims and findings are those of its layers.

    What is left may have no rows. A table without networks is given as it is.
    """
    suites = set(read_networks(archive.folder)["suite"]) & set(archive.measurements["suite"])
    if not suites:
        return archive
    measurements = archive.measurements[~archive.measurements["suite"].isin(suites)].reset_index(drop=True)
    points = [point for point in archive.provenance["points"] if point["suite"] not in suites]
    return Archive(archive.folder, measurements, archive.provenance | {"points": points}, _samples(archive, suites))


def only_networks(archive: Archive) -> pd.DataFrame:
    """Take the rows of a table that `without_networks` leaves out."""
    return archive.measurements[archive.measurements["suite"].isin(set(read_networks(archive.folder)["suite"]))]


def _samples(archive: Archive, suites: set[str]) -> Samples:
    """Take the samples of all suites but these."""
    taken = archive.taken
    kept = np.array([key[1] not in suites for key in taken.keys], dtype=bool)
    renumbered, there = np.cumsum(kept) - 1, kept[taken.series]
    keys = [key for key, keep in zip(taken.keys, kept, strict=True) if keep]
    return Samples(keys, renumbered[taken.series[there]], taken.number[there], taken.times[there])

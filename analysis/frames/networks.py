"""Frames of the figures of networks: the speed over whole forward passes, and where their time goes."""

import pandas as pd

from analysis.frames.common import Panel, Picture
from analysis.numbers.bootstrap import Resampler
from analysis.numbers.layers import KINDS
from analysis.numbers.networks import BASELINE, MIX, OURS_ACCURATE, Network, against_baselines, networks, unmeasured
from analysis.numbers.series import geometric_mean
from analysis.table.archive import Archive
from analysis.writing.phrases import names, number, plural

NONE = "this table holds no network (a suite that networks.csv lists)"
#: The part of a bar that stands for layers on which a side has no result.
NO_RESULT = "no result"
SPEED_COLUMNS = ("network", "side", "over", "value", "low", "high")
TIME_COLUMNS = ("side", "label", "kind", "left", "value", "said")


def overview(archive: Archive) -> Picture:
    """Speed of the best mix of ours over each baseline, a line for each network and batch."""
    title = f"Networks on {archive.device_name}"
    found = networks(archive)
    if not found:
        return Picture(title, note=NONE)
    resampler = Resampler(archive.samples())
    lines = [
        (str(network), side, network.sides[side].label, one.speedup, one.low, one.high)
        for network in found
        for side, one in against_baselines(network, resampler).items()
    ]
    frame = pd.DataFrame(lines, columns=list(SPEED_COLUMNS))
    caption = (
        "Speed of all convolutions of a forward pass: the time of a baseline (sum of count x median over the layers) "
        "over that of the best of ours on each layer, FP32-accurate or strict, on the layers on which both have a "
        "result; above 1 ours is faster. Bars are 95 % intervals, of the noise within a measuring process. "
    )
    means = [
        f"{number(geometric_mean(group['value']))}x over {over} ({plural(len(group), 'network')})"
        for over, group in frame.dropna(subset=["value"]).groupby("over", sort=False)
    ]
    caption += f"Geometric means: {names(means)}." if means else "No network has a result on both sides."
    panel = Panel("", "", frame, x_axis="speed of the best mix of ours over a baseline")
    return Picture(title, (panel,), caption + _absent(archive))


def time(archive: Archive) -> Picture:
    """Where the time of a forward pass goes, by kind of layer: a panel for each network, at its first batch."""
    title = f"Where the time of a forward pass goes on {archive.device_name}"
    every = networks(archive)
    found = [one for index, one in enumerate(every) if one.name not in {other.name for other in every[:index]}]
    if not found:
        return Picture(title, note=NONE)
    panels = [_panel(network) for network in found]
    baseline = found[0].sides[BASELINE].label
    caption = (
        "Time of all convolutions of a forward pass (sum of count x median over the layers), by the kind of layer; "
        "a layer with several traits is of the last kind in the legend that fits. Every bar of a network has the same "
        f"layers, those on which {baseline} has a result: where a side has none, the time of {baseline} is hatched, "
        "and the number after the bar is the total with it (how many layers are hatched)."
    )
    if any(not network.best[OURS_ACCURATE].empty for network in found):
        label, mix = (found[0].sides[side].label for side in (OURS_ACCURATE, MIX))
        caption += (
            f" {label[:1].upper()}{label[1:]}: the kernels on tensor cores alone. The operator chooses among all of "
            f"ours, as the {mix} does."
        )
    caption += " Other batches are in the tables." if len(found) < len(every) else ""
    return Picture(title, tuple(panels), caption + _absent(archive))


def _panel(network: Network) -> Panel:
    base = network.time(BASELINE)
    there = [layer for layer in network.layers.index if layer in base.index]
    kinds = network.layers["kind"].reindex(there)
    lines: list[tuple[str, str, str, float, float, str]] = []
    for name, side in network.sides.items():
        own = network.time(name).reindex(there)
        if own.notna().sum() == 0:
            lines.append((name, side.label, "", 0.0, float("nan"), "no result"))
            continue
        parts = own.groupby(kinds).sum().reindex(list(KINDS)).fillna(0).to_dict()
        parts[NO_RESULT] = float(base[there][own.isna()].sum())
        missing = int(own.isna().sum())
        total = number(sum(parts.values())) + (f" ({missing})" if missing else "")
        left = 0.0
        for kind, value in parts.items():
            if value > 0:
                lines.append((name, side.label, str(kind), left, value, ""))
                left += value
        lines[-1] = (*lines[-1][:-1], total)
    layers = plural(len(network.layers), "layer")
    if len(there) < len(network.layers):
        layers = f"{len(there)} of {layers} ({number(network.share_of_flops(there))} % of FLOPs)"
    title = f"{network}: {layers}"
    return Panel(title, "", pd.DataFrame(lines, columns=list(TIME_COLUMNS)), x_axis="ms")


def _absent(archive: Archive) -> str:
    absent = unmeasured(archive)
    return f" Not measured: {names(absent)}." if absent else ""

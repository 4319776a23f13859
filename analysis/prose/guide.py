"""The guide: the fastest algorithm of each layer, when im2win pays, and what its window tensor costs.

Networks have their own part (`analysis.prose.networks`).
"""

import math
from dataclasses import dataclass, replace

import pandas as pd

from analysis.numbers.algorithms import ACCURATE, OURS, STRICT, about, in_order, label, paper
from analysis.numbers.networks import without_networks
from analysis.numbers.series import (
    MIB,
    PROTOCOLS,
    Selection,
    accurate_rows,
    layer_order,
    rows_of,
    selections,
    values,
)
from analysis.prose import networks
from analysis.table.archive import Archive
from analysis.writing.phrases import markdown_table, names, number, plural

TITLE = "Which algorithm should I use?"
#: Limits on the workspace in MiB, the first of them none.
LIMITS = (math.inf, 256.0, 64.0, 0.0)


@dataclass(frozen=True)
class Choice:
    """The fastest algorithm of a layer, its time (ms), workspace (bytes) and those whose interval overlaps its own."""

    algorithm: str
    time: float
    workspace: float
    equals: tuple[str, ...]

    def __str__(self) -> str:
        """Name it with its time and the algorithms that are as fast."""
        also = f", as fast: {names(label(name) for name in self.equals)}" if self.equals else ""
        return f"{label(self.algorithm)} ({number(self.time)} ms{also})"


@dataclass(frozen=True)
class Window:
    """The cost of im2win on one layer and the fastest other algorithm; in ms and MiB, NaN where not measured."""

    layer: str
    whole: float
    kernel: float
    other: Choice | None
    other_kernel: Choice | None
    mib: float

    @property
    def transform(self) -> float:
        """The time of the transform and the filter's reordering: end to end less the kernel alone."""
        return self.whole - self.kernel

    @property
    def ahead(self) -> bool:
        """Whether im2win is the fastest end to end."""
        return self.other is not None and self.whole < self.other.time

    @property
    def kernel_ahead(self) -> bool:
        """Whether im2win's kernel is the fastest."""
        return self.other_kernel is not None and self.kernel < self.other_kernel.time

    @property
    def uses(self) -> float:
        """From how many convolutions that share one window tensor im2win is the fastest; infinity for never."""
        if self.other is None or self.transform != self.transform:
            return math.nan
        spared = self.other.time - self.kernel
        return max(1, math.floor(self.transform / spared) + 1) if spared > 0 else math.inf


def fastest(rows: pd.DataFrame, layer: str, limit_mib: float = math.inf, without: str = "") -> Choice | None:
    """Choose the fastest ok algorithm of a layer with no more than this workspace; of equal times, the first by name.

    An algorithm whose workspace is not known meets no limit.
    """
    ok = rows[(rows["layer"] == layer) & (rows["status"] == "ok") & (rows["algorithm"] != without)]
    ok = ok[ok["algorithm"].map(lambda name: about(name).is_candidate).astype(bool)]
    if math.isfinite(limit_mib):
        ok = ok[ok["workspace_bytes"] <= limit_mib * MIB]
    ok = ok.dropna(subset=["time_ms"]).sort_values(["time_ms", "algorithm"])
    if ok.empty:
        return None
    first, others = ok.iloc[0], ok.iloc[1:]
    equals = others.loc[others["time_ms_low"] <= first["time_ms_high"], "algorithm"]
    return Choice(first["algorithm"], float(first["time_ms"]), float(first["workspace_bytes"]), tuple(equals))


def windows(whole: pd.DataFrame, kernel: pd.DataFrame, ours: str) -> list[Window]:
    """Compare im2win with the fastest other algorithm, layer by layer, from the rows of the two protocols."""
    times, kernels = values(whole, ours, "time_ms"), values(kernel, ours, "time_ms")
    mib = values(whole, ours, "workspace_bytes") / MIB
    return [
        Window(
            layer,
            float(times[layer]),
            float(kernels.get(layer, math.nan)),
            fastest(whole, layer, without=ours),
            fastest(kernel, layer, without=ours),
            float(mib.get(layer, math.nan)),
        )
        for layer in times.index
    ]


def body(archive: Archive) -> str:
    """Write the page as Markdown without its title: a part for each suite, batch and class, and each network."""
    layers = without_networks(archive).measurements
    groups = dict.fromkeys(replace(one, protocol="") for one in selections(layers))
    parts = [_intro(archive)]
    for group in groups:
        rows = {name: rows_of(layers, replace(group, protocol=name)) for name in PROTOCOLS}
        timed = next((name for name in PROTOCOLS if not rows[name].empty), None)
        if timed is None:
            continue
        what = f"suite {group.suite}, batch {group.batch}, {group.numerics}"
        parts.append(f"### On {what} (experiment {group.experiment})\n")
        parts.append(_which(rows[timed], timed))
        parts += _accurate(rows[timed], accurate_rows(layers, replace(group, protocol=timed)), group)
        if timed == "end_to_end":
            parts.append(_when(windows(rows["end_to_end"], rows["kernel_only"], paper(archive.device_kind)), group))
    return "\n".join([*parts, *networks.guide(archive)])


def _intro(archive: Archive) -> str:
    return (
        f"From the results table of {archive.device_name}; valid for these layers and batches with this hardware and "
        "software. An algorithm is called *as fast* if its 95 % interval overlaps that of the fastest.\n"
    )


def _which(rows: pd.DataFrame, protocol: str) -> str:
    layers = layer_order(rows["layer"])
    chosen = {limit: {layer: fastest(rows, layer, limit) for layer in layers} for limit in LIMITS}
    lines = []
    for layer in layers:
        first = chosen[math.inf][layer]
        cells = [str(chosen[limit][layer] or "-") for limit in LIMITS]
        lines.append([layer, cells[0], number(first.workspace / MIB) if first else "-", *cells[1:]])
    header = ["layer", "fastest", "its workspace, MiB"]
    header += [f"with at most {limit:.0f} MiB" if limit else "with no workspace" for limit in LIMITS[1:]]
    said = []
    for limit in LIMITS:
        counts = pd.Series([one.algorithm for one in chosen[limit].values() if one], dtype=object).value_counts()
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        parts = names(f"{label(name)} on {plural(count, 'layer')}" for name, count in ranked)
        how = "any workspace" if limit == math.inf else f"at most {limit:.0f} MiB" if limit else "no workspace at all"
        said.append(f"* With {how}: {parts}.\n")
    table = markdown_table(header, lines, texts=(0, 1, 3, 4, 5))
    return f"#### The fastest algorithm ({protocol})\n\n{''.join(said)}\n{table}"


def _accurate(rows: pd.DataFrame, accurate: pd.DataFrame, group: Selection) -> list[str]:
    """Compare ours on tensor cores with the fastest of strict FP32; empty for other classes."""
    said = []
    for name in in_order(accurate["algorithm"]) if group.numerics == STRICT else []:
        times = values(accurate, name, "time_ms")
        others = {layer: fastest(rows, layer) for layer in times.index}
        over = pd.Series({layer: one.time / times[layer] for layer, one in others.items() if one}, dtype=float)
        if over.empty:
            continue
        mib = values(accurate, name, "workspace_bytes") / MIB
        said.append(
            f"{label(name)} is faster than the fastest of these on {(over > 1).sum()} of "
            f"{plural(len(over), 'layer')}, {number(over.min())}x ({over.idxmin()}) to {number(over.max())}x "
            f"({over.idxmax()}), with {number(mib.min())} to {number(mib.max())} MiB of workspace"
        )
    if not said:
        return []
    return [
        f"If tensor cores with error compensation are accepted (class {ACCURATE}, held to the accuracy of cuDNN's "
        f"implicit precomputed GEMM in FP32): {'; '.join(said)}.\n"
    ]


def _when(compared: list[Window], group: Selection) -> str:
    title = "#### When im2win pays, and what its window tensor costs\n\n"
    if not compared:
        return f"{title}im2win was ok on no layer in {group.numerics}.\n"
    lines = []
    for one in compared:
        pays = "yes" if one.ahead else "kernel only" if one.kernel_ahead else "no"
        ratios = [_ratio(one.other, one.whole), _ratio(one.other_kernel, one.kernel)]
        costs = [number(one.mib), number(one.transform), number(100 * one.transform / one.whole)]
        rival = label(one.other.algorithm) if one.other else "-"
        uses = "-" if math.isnan(one.uses) else "never" if math.isinf(one.uses) else f"{one.uses:.0f}"
        lines.append([one.layer, pays, rival, *ratios, number(one.whole), number(one.kernel), *costs, uses])
    header = ["layer", "pays", "fastest other", "speed over it, end to end", "speed over it, kernel only"]
    header += ["end to end, ms", "kernel only, ms", "workspace, MiB", "transform, ms", "transform, %"]
    header += ["pays from this many uses"]
    closing = (
        "*Transform, %* is the transform's share of the end-to-end time. *Pays from this many uses* is the number of "
        "convolutions with one window tensor, made once, from which im2win is the fastest.\n"
    )
    return f"{title}{_told(compared)}\n{markdown_table(header, lines, texts=(0, 1, 2))}\n{closing}"


def _ratio(other: Choice | None, ours: float) -> str:
    return f"{number(other.time / ours)}x" if other and ours == ours else "-"


def _told(compared: list[Window]) -> str:
    total = plural(len(compared), "layer")
    ahead = [one.layer for one in compared if one.ahead]
    said = [f"End to end, im2win is the fastest on {len(ahead)} of {total}{_where(ahead)}."]
    said += _beyond(compared)
    timed = [one for one in compared if one.kernel == one.kernel]
    if timed:
        kernel = [one.layer for one in timed if one.kernel_ahead]
        said[0] += f" Of the kernels alone, its own is on {len(kernel)}{_where(kernel)}."
        shares = pd.Series({one.layer: 100 * one.transform / one.whole for one in timed})
        times = pd.Series({one.layer: one.transform for one in timed})
        said.append(
            f"Making the window tensor and reordering the filter (end to end less kernel only) takes "
            f"{number(times.min())} ({times.idxmin()}) to {number(times.max())} ms ({times.idxmax()}): "
            f"{number(shares.min())} ({shares.idxmin()}) to {number(shares.max())} % ({shares.idxmax()}) of the whole."
        )
        later = [one for one in timed if not one.ahead and math.isfinite(one.uses)]
        if later:
            each = names(f"{one.layer} from {one.uses:.0f}" for one in later)
            said.append(f"If several convolutions share one window tensor, im2win pays on {each} uses on.")
        never = [one.layer for one in timed if math.isinf(one.uses)]
        if never:
            said.append(f"It never pays on {' '.join(never)}, where another algorithm is faster than its kernel alone.")
    mib = pd.Series({one.layer: one.mib for one in compared}).dropna()
    if not mib.empty:
        said.append(
            f"The window tensor with the reordered filter takes {number(mib.min())} ({mib.idxmin()}) to "
            f"{number(mib.max())} MiB ({mib.idxmax()}) of workspace."
        )
    return "".join(f"* {sentence}\n" for sentence in said)


def _beyond(compared: list[Window]) -> list[str]:
    """List the layers on which another convolution of ours is the fastest, with its workspace."""
    found: dict[str, dict[str, float]] = {}
    for one in compared:
        if not one.ahead and one.other and about(one.other.algorithm).role == OURS:
            found.setdefault(one.other.algorithm, {})[one.layer] = one.other.workspace / MIB
    said = []
    for name in in_order(found):
        mib = pd.Series(found[name]).dropna()
        takes = f", with {number(mib.min())} to {number(mib.max())} MiB of workspace" if len(mib) else ""
        said.append(
            f"On {len(found[name])} of the others{_where(list(found[name]))} {label(name)} is the fastest{takes}."
        )
    return said


def _where(layers: list[str]) -> str:
    return f" ({' '.join(layers)})" if layers else ""

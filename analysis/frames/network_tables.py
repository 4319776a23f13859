"""The tables of networks: one row for each network, and one row for each layer of each network."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from analysis.frames.grids import FRESH, Stale
from analysis.frames.networks import NONE as NO_NETWORK
from analysis.numbers.algorithms import label
from analysis.numbers.bootstrap import Resampler
from analysis.numbers.networks import (
    BASELINE,
    MIX,
    OURS,
    OURS_ACCURATE,
    PYTORCH,
    Comparison,
    Network,
    against_baselines,
    compare,
    networks,
    unmeasured,
)
from analysis.numbers.series import divide
from analysis.table.archive import Archive
from analysis.table.schema import KEY
from analysis.writing.phrases import SHORT, SHORT_EXPLAINED, names, number, plural
from analysis.writing.tables import DAGGER, Block, Table

NONE = f"{NO_NETWORK[:1].upper()}{NO_NETWORK[1:]}."
TITLES = {"networks": "Networks", "network_layers": "The layers of networks"}
#: What no row of one selection differs in.
HEAD = ("experiment", "suite", "batch", "protocol")


def build(archive: Archive, stale: Stale = FRESH) -> dict[str, Table]:
    """Build the tables by name; numbers of the rows in `stale` (KEY values) get a dagger in the Markdown."""
    found = networks(archive)
    if not found:
        return {name: Table(title, pd.DataFrame(columns=list(HEAD)), closing=NONE) for name, title in TITLES.items()}
    return {"networks": overview(archive), "network_layers": _layers(found, stale)}


def overview(archive: Archive) -> Table:
    """Make the table with a row for each network and batch: totals, and the speed over each baseline."""
    found, resampler = networks(archive), Resampler(archive.samples())
    lines, cells = [], []
    for network in found:
        each = against_baselines(network, resampler)
        first, work = each[BASELINE], network.layers["count"] * network.layers["flops"]
        line = {name: asdict(network.selection)[name] for name in HEAD}
        line |= {"layers": len(network.layers), "unsupported": len(network.layers) - len(network.supported)}
        line |= {"runs": int(network.layers["count"].sum()), "gflop_per_image": work.sum() / 1e9}
        for side, one in each.items():
            numbers = {"layers": len(one.layers), "flops_percent": network.share_of_flops(list(one.layers))}
            numbers |= {"ms": one.theirs, "ours_ms": one.mine, "speedup": one.speedup, "low": one.low, "high": one.high}
            line |= {f"{side}_{what}": value for what, value in numbers.items()}
        lines.append(line)
        share = number(network.share_of_flops(list(first.layers)))
        shown = [network.name, network.selection.batch, f"{len(first.layers)} of {len(network.layers)}", share]
        shown.append(number(first.mine))
        for one in each.values():
            shown += [number(one.theirs), _speedup(one, first)]
        cells.append(shown)
    header = ["network", "batch", "layers", "FLOPs, %", "best mix of ours, ms"]
    for name in against_baselines(found[0]):
        header += [f"{found[0].sides[name].label}, ms", "speed over it"]
    closing = (
        "A total is the sum of count x median over the layers of a forward pass, and two totals are compared on the "
        "layers on which both sides have a result: those counted under *layers*, or as many as a ratio says. The best "
        "mix of ours takes the fastest of ours on each layer, FP32-accurate or strict. In brackets the 95 % interval, "
        "of the noise within a measuring process."
    )
    absent = unmeasured(archive)
    closing += f" Not measured: {names(absent)}." if absent else ""
    return Table(TITLES["networks"], pd.DataFrame(lines), (Block(header, cells),), closing)


def _speedup(one: Comparison, first: Comparison) -> str:
    if not one.layers:
        return "-"
    return f"{number(one.speedup)}x [{number(one.low, 4)} to {number(one.high, 4)}]{_of_others(one, first)}"


def _layers(found: tuple[Network, ...], stale: Stale) -> Table:
    frames = [_frame(network) for network in found]
    blocks = [_block(network, frame, stale) for network, frame in zip(found, frames, strict=True)]
    closing = (
        "*Time, %* is a layer's share of the time that the best cuDNN of each layer takes for a forward pass, *FLOPs, "
        f"%* its share of the network's FLOPs. Times are of one run, the totals of all. {SHORT_EXPLAINED}."
    )
    return Table(TITLES["network_layers"], pd.concat(frames, ignore_index=True), tuple(blocks), closing)


def _frame(network: Network) -> pd.DataFrame:
    """Give all that is known of each layer, in the network's order; times in ms, of one run."""
    layers, base = network.layers, network.time(BASELINE)
    frame = layers[["kind", "count", "flops", "unsupported", "source"]].copy()
    frame["flops_percent"] = 100 * layers["count"] * layers["flops"] / (layers["count"] * layers["flops"]).sum()
    frame["time_percent"] = 100 * base / base.sum()
    for name in network.sides:
        best = network.best[name].reindex(layers.index)
        frame[f"{name}_ms"], frame[f"{name}_algorithm"] = best["time_ms"], best["algorithm"].fillna("")
    for name in (BASELINE, PYTORCH):
        if name in network.sides:
            frame[f"over_{name}"] = divide(network.best[name]["time_ms"], network.best[MIX]["time_ms"])
    frame = frame.reset_index()
    head = {name: asdict(network.selection)[name] for name in HEAD}
    return pd.DataFrame([head] * len(frame)).join(frame)


def _block(network: Network, frame: pd.DataFrame, stale: Stale) -> Block:
    """Write a row for each layer and the row of the totals, column by column."""
    sides, layers = network.sides, list(network.layers.index)
    pairs = {name: compare(network, name) for name in (BASELINE, PYTORCH) if name in sides}
    first = pairs[BASELINE]
    counted = frame[frame["layer"].isin(first.layers)]

    def ms(side: str) -> list[str]:
        return [_ms(network, side, layer, stale) for layer in layers]

    def percent(column: str) -> tuple[list[str], str]:
        return [number(value) for value in frame[column]], number(counted[column].sum())

    def named(side: str) -> list[str]:
        chosen = frame[f"{side}_algorithm"]
        return [f"{time} {label(name)}" if name else time for time, name in zip(ms(side), chosen, strict=True)]

    kinds, chosen = ([text or "-" for text in frame[one]] for one in ("kind", f"{BASELINE}_algorithm"))
    columns = [
        _Column("layer", layers, f"total of {plural(len(first.layers), 'layer')}", is_text=True),
        _Column("kind", kinds, is_text=True),
        _Column("count", frame["count"].astype(str), str(counted["count"].sum())),
        _Column("FLOPs, %", *percent("flops_percent")),
        _Column("time, %", *percent("time_percent")),
        _Column(sides[BASELINE].label, [label(name) for name in chosen], is_text=True),
        *(
            _Column(f"{sides[name].label}, ms", ms(name), number(one.theirs) + _of_others(one, first))
            for name, one in pairs.items()
        ),
        *(_Column(f"{sides[name].label}, ms", named(name), is_text=True) for name in (OURS, OURS_ACCURATE)),
        _Column("best of ours, ms", ms(MIX), number(first.mine)),
        *(
            _Column(
                f"over {sides[name].label}",
                [number(value) for value in frame[f"over_{name}"]],
                number(one.speedup) + _of_others(one, first),
            )
            for name, one in pairs.items()
        ),
    ]
    if (frame["unsupported"] != "").any():
        columns.append(_Column("not supported because", list(frame["unsupported"]), is_text=True))
    rows = [*zip(*(one.cells for one in columns), strict=True), [one.total for one in columns]]
    selection = network.selection
    heading = f"{network}, {selection.protocol} (experiment {selection.experiment})"
    texts = [index for index, one in enumerate(columns) if one.is_text]
    return Block([one.header for one in columns], rows, texts, heading, note(network))


@dataclass(frozen=True, eq=False)
class _Column:
    """A column of a network's table: a cell for each layer, and the one of the totals."""

    header: str
    cells: Sequence[str]
    total: str = ""
    is_text: bool = False


def _ms(network: Network, side: str, layer: str, stale: Stale) -> str:
    """Write a side's time on a layer, or why there is none."""
    if layer not in network.best[side].index:
        status = network.state(side, layer)
        return SHORT.get(status, status)
    best = network.best[side].loc[layer]
    key = asdict(network.selection) | {"layer": layer} | best.to_dict()
    return number(best["time_ms"]) + (DAGGER if tuple(key[column] for column in KEY) in stale else "")


def _of_others(one: Comparison, first: Comparison) -> str:
    """Say how many layers a total has if they are not those of the first one."""
    return f" ({plural(len(one.layers), 'layer')})" if one.layers != first.layers else ""


def note(network: Network) -> str:
    """Say what a network consists of, and on which layers a side has no result."""
    layers = network.layers
    sources = names(dict.fromkeys(source for source in layers["source"] if source), "")
    said = f"{plural(len(layers), 'layer')}, run {plural(int(layers['count'].sum()), 'time')}"
    said += f" (source: {sources})." if sources else "."
    absent = [layer for layer in layers.index if layers.at[layer, "unsupported"]]
    if absent:
        said += f" {len(absent)} not supported, with {number(network.share_of_flops(absent))} % of the FLOPs"
        unknown = int((layers["flops"] == 0).sum())
        said += f" and {unknown} of unknown FLOPs, which count as 0." if unknown else "."
    without = []
    for name, side in network.sides.items():
        missing = len(set(network.supported) - set(network.best[name].index))
        if missing:
            without.append(f"{side.label} on {missing}")
    if without:
        said += f" Without a result, of the {plural(len(network.supported), 'supported layer')}: {names(without)}."
    return said

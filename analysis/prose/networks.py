"""Networks in words: three sentences on each, and which algorithm to use for its layers."""

from collections.abc import Iterator

import pandas as pd

from analysis.numbers.algorithms import ACCURATE, STRICT, TF32, about, label
from analysis.numbers.networks import (
    BASELINE,
    MIX,
    OURS,
    OURS_ACCURATE,
    PYTORCH,
    REDUCED,
    Network,
    Side,
    compare,
    fastest,
    networks,
    only_networks,
)
from analysis.prose.findings import outcomes
from analysis.table.archive import Archive
from analysis.writing.phrases import markdown_table, names, number, plural


def findings(archive: Archive) -> list[str]:
    """Summarize each network at its first batch, in three sentences; then what came of all their points."""
    every = networks(archive)
    first = [one for index, one in enumerate(every) if one.name not in {other.name for other in every[:index]}]
    said = [" ".join(sentence for sentence in _sentences(network) if sentence) for network in first]
    return [*said, f"Of the networks, {outcomes(only_networks(archive))}"] if said else []


def _sentences(network: Network) -> Iterator[str]:
    head, baseline = f"{network.name} (batch {network.selection.batch})", network.sides[BASELINE].label
    first = compare(network, BASELINE)
    if not first.layers:
        yield f"{head}: on no layer have both ours and {baseline} a result."
        return
    count = len(network.layers)
    part = f", on {len(first.layers)} of its {plural(count, 'layer')}" if len(first.layers) < count else ""
    yield f"{head}: the best mix of ours is {_as_fast(network, (BASELINE, PYTORCH), MIX)}{part}."
    reduced = _as_fast(network, (REDUCED,), MIX)
    strict = "" if network.best[OURS_ACCURATE].empty else _as_fast(network, (BASELINE,), OURS)
    parts = [f"it is {reduced}"] if reduced else []
    parts += [f"ours in strict FP32 alone is {strict}"] if strict else []
    if parts:
        said = names(parts)
        yield f"{said[0].upper()}{said[1:]}."
    times = pd.DataFrame({side: network.time(side) for side in (BASELINE, MIX)}).loc[list(first.layers)]
    sums = times.groupby(network.layers["kind"].reindex(times.index)).sum()
    most = str(sums[BASELINE].idxmax())
    share, over = 100 * sums[BASELINE] / sums[BASELINE].sum(), sums[BASELINE] / sums[MIX]
    yield (
        f"Most of the time of {baseline} goes into layers of the kind {most} ({number(share[most])} %), where the best "
        f"mix of ours is {number(over[most])}x as fast."
    )


def _as_fast(network: Network, baselines: tuple[str, ...], mine: str) -> str:
    each = {network.sides[name].label: compare(network, name, mine) for name in baselines if name in network.sides}
    return names((f"{number(one.speedup)}x as fast as {name}" for name, one in each.items() if one.layers), "")


#: What is accepted -> the classes of arithmetic that may then be used.
ACCEPTED = {
    "strict FP32": (STRICT,),
    "FP32-accurate too": (STRICT, ACCURATE),
    "TF32 too": (STRICT, ACCURATE, TF32),
}


def guide(archive: Archive) -> list[str]:
    """Say for each network which algorithm is the fastest on each layer, and which one alone; a part for each."""
    return [_guide(network) for network in networks(archive)]


def _guide(network: Network) -> str:
    best = {
        what: fastest(network.rows, Side(what, what, classes, lambda name: about(name).is_candidate))
        for what, classes in ACCEPTED.items()
        if set(classes[-1:]) & set(network.rows["numerics"])
    }
    title = f"### For the network {network}\n"
    if all(chosen.empty for chosen in best.values()):
        return f"{title}\nNo layer has a result.\n"
    said = [f"* With {what}: {_total(network, chosen)}, by {_counts(chosen)}.\n" for what, chosen in best.items()]
    said += _alone(network)
    layers = [layer for layer in network.layers.index if any(layer in chosen.index for chosen in best.values())]
    lines = [
        [layer, network.layers.at[layer, "count"], *(_choice(chosen, layer) for chosen in best.values())]
        for layer in layers
    ]
    table = markdown_table(["layer", "count", *(f"{what}, ms" for what in best)], lines, texts=(0, 2, 3, 4))
    rest = len(network.layers) - len(layers)
    closing = f"\nWithout any result: {rest} of {plural(len(network.layers), 'layer')}.\n" if rest else ""
    return f"{title}\n{''.join(said)}\n{table}{closing}"


def _total(network: Network, chosen: pd.DataFrame) -> str:
    total = (chosen["time_ms"] * network.layers["count"].reindex(chosen.index)).sum()
    return f"{number(float(total))} ms on {plural(len(chosen), 'layer')}"


def _counts(chosen: pd.DataFrame) -> str:
    counts = chosen["algorithm"].value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")
    return names(f"{label(str(name))} on {count}" for name, count in counts.items())


def _choice(chosen: pd.DataFrame, layer: str) -> str:
    if layer not in chosen.index:
        return "-"
    return f"{number(chosen.at[layer, 'time_ms'])} {label(chosen.at[layer, 'algorithm'])}"


def _alone(network: Network) -> list[str]:
    """Name the fastest algorithm that has a result on every supported layer, in each class."""
    said = []
    for numerics, rows in network.rows.groupby("numerics", sort=False):
        totals = {}
        for name in rows["algorithm"].unique():
            ok = rows[(rows["algorithm"] == name) & (rows["status"] == "ok")].set_index("layer")["time_ms"]
            if about(name).is_candidate and set(ok.index) >= set(network.supported):
                totals[name] = float((ok * network.layers["count"].reindex(ok.index)).sum())
        if totals:
            first = min(totals, key=lambda name: (totals[name], name))
            said.append(
                f"* A single algorithm for all layers, {numerics}: {label(first)} ({number(totals[first])} ms).\n"
            )
    return said or ["* No single algorithm has a result on all layers.\n"]

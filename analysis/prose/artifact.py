"""The page that an artifact's reviewer follows: for each claim and each headline of ours what to run and to expect."""

import math
from collections.abc import Iterable, Iterator

import pandas as pd

from analysis.numbers import published
from analysis.numbers.algorithms import BEST_CUDNN, ablations, is_cudnn, paper
from analysis.numbers.judged import headline_claims
from analysis.numbers.networks import (
    BASELINE,
    MIX,
    OURS,
    OURS_ACCURATE,
    compare,
    networks,
    with_networks,
    without_networks,
)
from analysis.numbers.overview import overview
from analysis.numbers.series import MIB, geometric_mean, headline
from analysis.table.archive import Archive
from analysis.writing.phrases import names, number, plural, quantity

#: Metric of a claim -> the figure that shows it; a rank is of the ablation.
FIGURES = {"tflops_ratio": "tflops", "memory_reduction": "memory", "rank": "ablation"}
SHOWN = "`results/<device>/report.html`"


def page(archive: Archive, judged: pd.DataFrame) -> str:
    """Write a part for each claim and each headline as Markdown, and what the whole of it takes."""
    layers = without_networks(archive)
    parts = [_hardware(archive)]
    if not layers.measurements.empty:
        parts += [*_claims(layers, judged), *_ours(layers)]
    return "\n".join([*parts, *_networks(archive)])


def _hardware(archive: Archive) -> str:
    peak = archive.measurements["process_peak_bytes"].max() / MIB / 1024
    needs = f" The largest process took {number(peak)} GiB of its memory." if peak == peak else ""
    return f"Expected values and minutes are those of {archive.device_name}, one GPU at a time.{needs}\n"


def _claims(layers: Archive, judged: pd.DataFrame) -> Iterator[str]:
    rows = headline(layers)[1]
    there, known = set(rows["algorithm"]), published.claims().set_index("id")
    for claim in headline_claims(judged, layers).to_dict("records"):
        if claim["measured"] != claim["measured"]:
            continue
        baselines = ablations() if claim["unit"] == "rank" else _members(known.at[claim["claim"], "baseline"], there)
        expected = f"{quantity(claim['measured'], claim['unit'])}, **{claim['verdict']}**; the paper has "
        expected += quantity(claim["published"], claim["unit"])
        figure = FIGURES["rank" if claim["unit"] == "rank" else known.at[claim["claim"], "metric"]]
        yield _part(layers, claim["statement"], [paper(), *baselines], expected, figure)


def _members(baseline: str, there: set[str]) -> list[str]:
    """List the algorithms that a claim's baseline stands for."""
    return [baseline] if baseline in there - {BEST_CUDNN} else sorted(name for name in there if is_cudnn(name))


def _ours(layers: Archive) -> Iterator[str]:
    found = overview(layers)
    for side, what in ((OURS, "our kernels in strict FP32"), (OURS_ACCURATE, "our FP32-accurate kernels")):
        over = found.over(side)
        if over.empty:
            continue
        members = sorted(set(found.best[side]["algorithm"]))
        rivals = [name for name in sorted(set(found.rows["algorithm"])) if is_cudnn(name)]
        expected = f"{number(geometric_mean(over))}x in the geometric mean, faster on {(over > 1).sum()} of "
        expected += plural(len(over), "layer")
        statement = f"{what} against the {found.sides[BASELINE].label}"
        classes = sorted({*found.sides[side].classes, *found.sides[BASELINE].classes})
        yield _part(layers, statement, [*members, *rivals], expected, "overview", classes)


def _part(
    layers: Archive,
    statement: str,
    algorithms: Iterable[str],
    expected: str,
    figure: str,
    classes: Iterable[str] = (),
) -> str:
    selection, _ = headline(layers)
    chosen = list(dict.fromkeys(algorithms))
    numerics = list(classes) or [selection.numerics]
    command = f"snakemake --config suite={selection.suite} batch={selection.batch} numerics={','.join(numerics)}"
    taken = [
        one
        for one in layers.provenance["points"]
        if (one["suite"], one["batch"]) == (selection.suite, selection.batch)
        and one["algorithm"] in chosen
        and one["numerics"] in numerics
    ]
    return (
        f"### {statement[:1].upper() + statement[1:] if not statement.startswith('im2win') else statement}\n\n"
        f"    {command} algorithm={','.join(chosen)}\n\n"
        f"* Expected: {expected}.\n* {_minutes(taken)}, {plural(len(taken), 'point')}.\n"
        f"* Shown in {SHOWN} and `results/<device>/figures/{figure}.svg`.\n"
    )


def _minutes(points: Iterable[dict[str, object]]) -> str:
    """Say for how long points kept a GPU busy, in whole minutes."""
    seconds = 0.0
    for point in points:
        run = point.get("run")
        if isinstance(run, dict):
            seconds += sum((run.get("seconds") or {}).values())
    return f"About {plural(max(1, math.ceil(seconds / 60)), 'minute')}" if seconds else "Minutes were not recorded"


def _networks(layers: Archive) -> list[str]:
    archive = with_networks(layers)
    every = networks(archive)
    over = {str(one): compare(one, BASELINE, MIX) for one in every}
    shown = {name: one for name, one in over.items() if one.layers}
    if not shown:
        return []
    suites = list(dict.fromkeys(one.name for one in every))
    taken = [one for one in archive.provenance["points"] if one["suite"] in suites]
    each = names(f"{number(one.speedup)}x on {name}" for name, one in shown.items())
    experiment = every[0].selection.experiment
    where = "" if archive is layers else f" on {archive.device_name}"
    return [
        "### All convolutions of whole networks, the best mix of ours against the best cuDNN in strict FP32\n\n"
        f"    snakemake --config experiment={experiment} suite={','.join(suites)}\n\n"
        f"* Expected{where}: {each}.\n* {_minutes(taken)}, {plural(len(taken), 'point')}.\n"
        f"* Shown in {SHOWN} and `results/<device>/figures/networks.svg`.\n"
    ]

"""The front page's table: a question, its answer, one number, and where to look."""

from collections.abc import Iterator

import pandas as pd

from analysis.numbers import models
from analysis.numbers.judged import headline_claims
from analysis.numbers.networks import (
    BASELINE,
    MIX,
    OURS,
    OURS_ACCURATE,
    REDUCED,
    compare,
    networks,
    with_networks,
    without_networks,
)
from analysis.numbers.overview import PAPER, overview
from analysis.numbers.series import divide, geometric_mean
from analysis.numbers.verdicts import VERDICTS
from analysis.prose.claims import in_short
from analysis.table.archive import Archive
from analysis.writing.phrases import markdown_table, names, number, plural

#: Where a front page's answers are explained.
RESULTS, TENSOR_CORES = "docs/results.md", "docs/tensor_cores.md"
NETWORKS, MODELS = "docs/networks.md", "docs/in_a_model.md"
#: Side -> what is asked of it, and where it is answered.
QUESTIONS = {
    PAPER: ("Is the paper's im2win faster than {}?", f"[results]({RESULTS}#speed)"),
    OURS: ("Are our kernels in strict FP32?", f"[results]({RESULTS}#speed)"),
    OURS_ACCURATE: ("Are our kernels on tensor cores, as accurate as FP32?", f"[how]({TENSOR_CORES})"),
}


def table(archive: Archive, judged: pd.DataFrame) -> str:
    """Write the table as Markdown: the headline's layers, then networks' convolutions and whole networks, if any."""
    layers = without_networks(archive)
    lines = list(_lines(layers, judged))
    lines += _networks(archive)
    lines += _models(archive)
    return markdown_table(["question", "answer", "number", "where"], lines, texts=(0, 1, 3))


def _lines(layers: Archive, judged: pd.DataFrame) -> Iterator[list[str]]:
    counts = headline_claims(judged, layers)["verdict"].value_counts()
    if len(counts):
        parts = names(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if verdict in counts)
        total = f"{counts.get(VERDICTS[0], 0)} of {counts.sum()}"
        yield ["Do the paper's claims hold here?", parts, total, f"[claims]({RESULTS}#the-papers-claims)"]
    if layers.measurements.empty:
        return
    found = overview(layers)
    for side, (question, where) in QUESTIONS.items():
        if not found.over(side).empty:
            asked = question.format(f"the {found.sides[BASELINE].label}")
            answer, mean = _answer(found.over(side))
            if side == OURS_ACCURATE and not found.over(REDUCED).empty:
                ahead = divide(found.over(side), found.over(REDUCED)) > 1
                answer += f"; than {found.sides[REDUCED].label} on {ahead.sum()}"
            yield [asked, answer, mean, where]


def _answer(over: pd.Series, what: str = "layer") -> list[str]:
    return [f"on {(over > 1).sum()} of {plural(len(over), what)}", f"{number(geometric_mean(over))}x"]


def _networks(archive: Archive) -> list[list[str]]:
    shown = with_networks(archive)
    every = {str(one): compare(one, BASELINE, MIX) for one in networks(shown)}
    over = pd.Series({name: one.speedup for name, one in every.items() if one.layers}, dtype=float)
    if over.empty:
        return []
    answer, mean = _answer(over, "network")
    if shown is not archive:
        answer += f" ({shown.device_name})"
    return [["Are ours over all convolutions of a network?", answer, mean, f"[networks]({NETWORKS}#what-came-out)"]]


def _models(archive: Archive) -> list[list[str]]:
    sides = models.by_side(models.speedups(models.models(archive), models.EAGER, largest=True))
    ours, reduced = sides[models.OURS], sides[models.TF32]
    over = divide(ours, sides[models.FP32])
    if over.empty:
        return []
    answer, mean = _answer(over, "network")
    if not reduced.empty:
        answer += f"; than its fastest in TF32 on {(divide(ours, reduced) > 1).sum()}"
    return [["Is a whole network with them faster than PyTorch in FP32?", answer, mean, f"[in a model]({MODELS})"]]


def note(archive: Archive, use: pd.DataFrame | None) -> str:
    """Say what the table's numbers are, of what, and how long measuring took if the `use` of GPUs is known."""
    layers, took = without_networks(archive), ""
    if use is not None:
        minutes = plural(round(use["elapsed_s"].sum() / 60), "minute")
        points = plural(len(archive.provenance["points"]), "point")
        took = f" Measuring this archive's {points} took {minutes} on {_gpus(use)}."
    if layers.measurements.empty:
        return f"{archive.device_name}, networks alone.{took}\n"
    found = overview(layers)
    where = f"{archive.device_name}, {plural(len(found.layers), 'layer')} at batch {found.selection.batch}"
    whole = ""
    if _models(archive):
        whole = "; those of whole networks, eagerly at their largest batch, to the fastest way of PyTorch's FP32"
    return (
        f"{where}, `{found.selection.protocol}`; speeds are relative to the {found.sides[BASELINE].label}, in the "
        f"geometric mean{whole}. {in_short()}{took}\n"
    )


def _gpus(use: pd.DataFrame) -> str:
    most = use["gpus"].max()
    return f"{plural(most, 'GPU')}" + (
        f" at a time, on {plural(use['host'].nunique(), 'host')}" if len(use) > 1 else ""
    )


def alternative(archive: Archive) -> str:
    """Describe the overview for those who do not see it."""
    layers = without_networks(archive)
    if layers.measurements.empty:
        return "no layers were measured"
    sides = overview(layers).sides
    rest = names(side.label for name, side in sides.items() if name != BASELINE)
    return f"Speed relative to the {sides[BASELINE].label} on each layer, of {rest}"

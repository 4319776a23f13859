"""Judge every claim of the paper from a results table, under each protocol and numeric class that it holds.

A value has a 95 % interval (`analysis.numbers.bootstrap`), and its worse end decides: *reproduced* is at least 90 % of
the published value (for a rank, rank 1); *partly* is less, but in the claimed direction (a ratio above 1, a reduction
above 0, rank 2); anything else is *not reproduced*. *Not testable here* is a claim whose algorithms are not in the
table, or are ok together on fewer than half of the twelve layers.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields

import pandas as pd

from analysis.numbers import published
from analysis.numbers.algorithms import BEST_CUDNN, STRICT, ablations, is_cudnn, label, paper
from analysis.numbers.bootstrap import Resampler, interval
from analysis.numbers.series import (
    Selection,
    divide,
    layer_order,
    memory_metric,
    ratio,
    rows_of,
    selections,
    values,
    with_best_cudnn,
)
from analysis.table.archive import Archive
from analysis.writing.phrases import number

SUITES = ("paper_table", "authors_log")
REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_TESTABLE = "reproduced", "partly", "not reproduced", "not testable here"
VERDICTS = (REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_TESTABLE)
ENOUGH = 0.9
COLUMNS = (
    "claim",
    "statement",
    "experiment",
    "suite",
    "batch",
    "protocol",
    "numerics",
    "published",
    "authors_logs",
    "measured",
    "measured_low",
    "measured_high",
    "interval",
    "unit",
    "metric",
    "layers",
    "layers_of",
    "decided_by",
    "carried_by",
    "contradicted_by",
    "verdict",
    "reason",
)

SELECTED = tuple(field.name for field in fields(Selection))
BOOTSTRAP, ONE_READING, NO_SAMPLES = "bootstrap of the raw samples", "one reading per point", "no raw samples"

Judgement = dict[str, object]


@dataclass(frozen=True, eq=False)
class Noise:
    """The resampled speeds of one selection, in arbitrary units, as only their ratios are used."""

    resampler: Resampler
    selection: Selection
    rows: pd.DataFrame

    def speed(self, algorithm: str) -> pd.DataFrame:
        """Give resampled speeds, a column per layer where the algorithm is ok and has samples."""
        names = [algorithm]
        if algorithm == BEST_CUDNN:
            names = [name for name in self.rows["algorithm"].unique() if is_cudnn(name)]
        return 1 / self.resampler.frame(self.rows, self.selection, names)

    def ratio(self, algorithm: str, baseline: str) -> pd.DataFrame:
        """Divide two algorithms' resampled speeds, a column per layer that both have."""
        ours, theirs = self.speed(algorithm), self.speed(baseline)
        common = layer_order(set(ours) & set(theirs))
        return ours[common] / theirs[common]


def judge(archive: Archive) -> pd.DataFrame:
    """Judge all claims under each selection of the table; one row per claim and selection, COLUMNS."""
    resampler = Resampler(archive.samples())
    claims = [(claim, from_logs(claim)) for _, claim in published.claims().iterrows()]
    judged = []
    for selection in selections(archive.measurements):
        rows = with_best_cudnn(rows_of(archive.measurements, selection))
        hindrance = _hindrance(archive, selection, rows)
        noise = Noise(resampler, selection, rows)
        for claim, logged in claims:
            common = {"claim": claim["id"], "statement": claim["statement"], "published": claim["value"]}
            common |= {"unit": claim["unit"], "authors_logs": logged, "layers_of": len(published.layers())}
            judged.append(common | asdict(selection) | judge_rows(claim, rows, noise, hindrance))
    return pd.DataFrame(judged, columns=list(COLUMNS))


def judge_rows(claim: pd.Series, rows: pd.DataFrame, noise: Noise | None = None, hindrance: str = "") -> Judgement:
    """Judge one claim on the rows of one selection (with `cudnn_best`); a `hindrance` says why it is not testable."""
    if hindrance:
        return _untestable(hindrance)
    rows = rows[rows["layer"].isin(published.layers().index)]
    baseline = claim["baseline"]
    if claim["unit"] == "rank":
        return _judge_rank(claim, lambda algorithm: values(rows, algorithm, "tflops"), noise)
    if claim["metric"] == "memory_reduction":
        metric = memory_metric(rows)
        per_layer = 100 * (1 - ratio(rows, paper(), baseline, metric.column))
        return _judge_value(claim, per_layer, None, 0.0) | {"metric": metric.label, "interval": ONE_READING}
    resampled = noise.ratio(paper(), baseline) if noise else None
    return _judge_value(claim, ratio(rows, paper(), baseline, "tflops"), resampled, 1.0) | {"metric": "ratio of TFLOPS"}


def from_logs(claim: pd.Series) -> float:
    """Compute a claim's value from the authors' own logs, in the claim's unit."""
    if claim["unit"] == "rank":
        return float(_judge_rank(claim, lambda algorithm: published.authors_tflops()[algorithm])["measured"])  # type: ignore[arg-type]
    if claim["metric"] == "memory_reduction":
        memory = published.authors_memory_mib()
        per_layer = 100 * (1 - divide(memory[paper()], memory[claim["baseline"]]))
    else:
        speed = published.authors_tflops()
        per_layer = divide(speed[paper()], speed[claim["baseline"]])
    return float(per_layer.max() if _takes_maximum(claim) else per_layer.mean())


def _takes_maximum(claim: pd.Series) -> bool:
    return str(claim["aggregate"]).startswith("maximum")


def _hindrance(archive: Archive, selection: Selection, rows: pd.DataFrame) -> str:
    if archive.device_kind == "cpu":
        return "measured on the CPU backend; the paper's claims are about GPU kernels"
    if selection.suite not in SUITES:
        return f"suite {selection.suite} is not the paper's twelve layers"
    if selection.numerics != STRICT and paper() not in set(rows["algorithm"]):
        return f"{paper()}, the paper's kernel, was not measured in {selection.numerics}"
    return ""


def _untestable(reason: str, layers: int = 0) -> Judgement:
    return {"measured": float("nan"), "layers": layers, "verdict": NOT_TESTABLE, "reason": reason}


def _judge_value(claim: pd.Series, per_layer: pd.Series, resampled: pd.DataFrame | None, neutral: float) -> Judgement:
    stated, twelve = float(claim["value"]), len(published.layers())
    if per_layer.empty:
        return _untestable(f"no layer where both {paper()} and {claim['baseline']} are ok")
    maximum = _takes_maximum(claim)
    judgement: Judgement = {
        "measured": float(per_layer.max() if maximum else per_layer.mean()),
        "layers": len(per_layer),
        "decided_by": f"{per_layer.idxmax()}" if maximum else f"mean of {len(per_layer)} layers",
        "carried_by": " ".join(per_layer.index[per_layer >= ENOUGH * stated]),
        "contradicted_by": " ".join(per_layer.index[per_layer <= neutral]),
        "reason": "",
    }
    if resampled is not None and list(resampled) == list(per_layer.index):
        ends = interval((resampled.max(axis=1) if maximum else resampled.mean(axis=1)).to_numpy())
        judgement |= {"measured_low": ends[0], "measured_high": ends[1], "interval": BOOTSTRAP}
    elif resampled is not None:
        judgement["interval"] = NO_SAMPLES
    if len(per_layer) < twelve:
        missing = [layer for layer in layer_order(published.layers().index) if layer not in per_layer.index]
        judgement["reason"] = f"without {' '.join(missing)}, where not both are ok"
    if 2 * len(per_layer) < twelve:
        return judgement | {"verdict": NOT_TESTABLE, "reason": f"only {len(per_layer)} of {twelve} layers"}

    def verdict(value: float) -> str:
        if value >= ENOUGH * stated:
            return REPRODUCED
        return PARTLY if value > neutral else NOT_REPRODUCED

    return _decide(judgement, verdict, "measured_low", "measured_high")


def _judge_rank(claim: pd.Series, speed: Callable[[str], pd.Series], noise: Noise | None = None) -> Judgement:
    """Rank the optimizations by what leaving them out costs; of two that cost the same, both get the worse rank."""
    twelve = len(published.layers())
    losses = pd.DataFrame({name: divide(speed(paper()), speed(name)) for name in ablations()}).dropna()
    if losses.empty:
        return _untestable(f"no layer where {paper()} and its three ablated variants are all ok")
    losses = losses.reindex(layer_order(losses.index))
    means, name = losses.mean(), claim["baseline"]
    others = losses.drop(columns=name)
    judgement: Judgement = {
        "measured": float(1 + (means.drop(name) >= means[name]).sum()),
        "metric": "mean TFLOPS of im2win over the variant's",
        "layers": len(losses),
        "decided_by": "; ".join(f"{label(one)} {number(means[one])}x" for one in ablations()),
        "carried_by": " ".join(losses.index[(losses[name] > others.max(axis=1)) & (losses[name] > 1)]),
        "contradicted_by": " ".join(losses.index[(losses[name] <= others.max(axis=1)) | (losses[name] <= 1)]),
        "reason": "" if len(losses) == twelve else f"{len(losses)} of {twelve} layers have all four",
    }
    if noise is not None:
        judgement |= _rank_interval(name, list(losses.index), noise)
    if 2 * len(losses) < twelve:
        return judgement | {"verdict": NOT_TESTABLE, "reason": f"only {len(losses)} of {twelve} layers"}
    if means[name] <= 1:
        return judgement | {"verdict": NOT_REPRODUCED, "reason": "leaving it out costs nothing"}
    by_rank = {1: REPRODUCED, 2: PARTLY}
    return _decide(judgement, lambda rank: by_rank.get(round(rank), NOT_REPRODUCED), "measured_high", "measured_low")


def _rank_interval(name: str, layers: list[str], noise: Noise) -> Judgement:
    resampled = {one: noise.ratio(paper(), one) for one in ablations()}
    if not all(set(layers) <= set(frame) for frame in resampled.values()):
        return {"interval": NO_SAMPLES}
    means = pd.DataFrame({one: frame[layers].mean(axis=1) for one, frame in resampled.items()})
    ranks = 1 + means.drop(columns=name).ge(means[name], axis=0).sum(axis=1)
    low, high = interval(ranks.to_numpy(float))
    return {"measured_low": low, "measured_high": high, "interval": BOOTSTRAP}


def _decide(judgement: Judgement, verdict: Callable[[float], str], worse: str, better: str) -> Judgement:
    """Take the verdict of the interval's worse end, and note it if the better end would get another one."""
    decided = verdict(float(judgement.get(worse, judgement["measured"])))  # type: ignore[arg-type]
    other = verdict(float(judgement.get(better, judgement["measured"])))  # type: ignore[arg-type]
    if other != decided:
        ambiguous = f"ambiguous: {other} at the other end of the interval"
        judgement["reason"] = "; ".join(text for text in (str(judgement["reason"]), ambiguous) if text)
    return judgement | {"verdict": decided}

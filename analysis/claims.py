"""Judge every claim of the paper from a results table, under each protocol that it holds.

    python -m analysis.claims --table FOLDER --output-dir FOLDER      writes claims.csv and claims.md

The rule: *reproduced* is at least 90 % of the published value (for a rank, rank 1); *partly* is less, but in the
claimed direction (a ratio above 1, a reduction above 0, rank 2); anything else is *not reproduced*. *Not testable
here* is a claim whose algorithms are not in the table, or are ok together on fewer than half of the twelve layers.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd

from analysis import reference
from analysis.cli import run
from analysis.files import write_atomically
from analysis.series import (
    ABLATED,
    STRICT,
    Selection,
    divide,
    label,
    layer_order,
    memory_metric,
    pick,
    ratio,
    rows_of,
    selections,
    values,
    with_best_cudnn,
)
from analysis.table import Archive, read
from analysis.text import markdown_table, number

OURS = "im2win"
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

Judgement = dict[str, object]


def judge(archive: Archive) -> pd.DataFrame:
    """Judge all claims under each strict-FP32 selection of the table; one row per claim and selection, COLUMNS.

    A table without strict FP32, the arithmetic of the paper, is judged as its first selection: not testable.
    """
    every = selections(archive.measurements)
    chosen = [one for one in every if one.numerics == STRICT] or every[:1]
    judged = []
    for selection in chosen:
        rows = with_best_cudnn(rows_of(archive.measurements, selection))
        hindrance = _hindrance(archive, selection)
        for _, claim in reference.claims().iterrows():
            common = {"claim": claim["id"], "statement": claim["statement"], "published": claim["value"]}
            common |= {"unit": claim["unit"], "authors_logs": from_logs(claim), "layers_of": len(reference.layers())}
            where = asdict(selection)
            judged.append(common | where | judge_rows(claim, rows, hindrance))
    return pd.DataFrame(judged, columns=list(COLUMNS))


def judge_rows(claim: pd.Series, rows: pd.DataFrame, hindrance: str = "") -> Judgement:
    """Judge one claim on the rows of one selection (with `cudnn_best`); `hindrance` says why it cannot be."""
    if hindrance:
        return _untestable(hindrance)
    rows = rows[rows["layer"].isin(reference.layers().index)]
    if claim["unit"] == "rank":
        return _judge_rank(claim, lambda algorithm: values(rows, algorithm, "tflops"))
    if claim["metric"] == "memory_reduction":
        metric = memory_metric(rows)
        per_layer = 100 * (1 - ratio(rows, OURS, claim["baseline"], metric.column))
        return _judge_value(claim, per_layer, 0.0, metric.label)
    return _judge_value(claim, ratio(rows, OURS, claim["baseline"], "tflops"), 1.0, "ratio of TFLOPS")


def from_logs(claim: pd.Series) -> float:
    """Compute a claim's value from the authors' own logs, in the claim's unit."""
    if claim["unit"] == "rank":
        return float(_judge_rank(claim, lambda algorithm: reference.authors_tflops()[algorithm])["measured"])  # type: ignore[arg-type]
    if claim["metric"] == "memory_reduction":
        memory = reference.authors_memory_mib()
        per_layer = 100 * (1 - divide(memory[OURS], memory[claim["baseline"]]))
    else:
        speed = reference.authors_tflops()
        per_layer = divide(speed[OURS], speed[claim["baseline"]])
    return float(per_layer.max() if _takes_maximum(claim) else per_layer.mean())


def _takes_maximum(claim: pd.Series) -> bool:
    return str(claim["aggregate"]).startswith("maximum")


def _hindrance(archive: Archive, selection: Selection) -> str:
    if archive.device_kind == "cpu":
        return "measured on the CPU backend; the paper's claims are about GPU kernels"
    if selection.numerics != STRICT:
        return f"the table has no {STRICT} rows, the arithmetic of the paper"
    if selection.suite not in SUITES:
        return f"suite {selection.suite} is not the paper's twelve layers"
    return ""


def _untestable(reason: str, layers: int = 0) -> Judgement:
    return {"measured": float("nan"), "layers": layers, "verdict": NOT_TESTABLE, "reason": reason}


def _judge_value(claim: pd.Series, per_layer: pd.Series, neutral: float, metric: str) -> Judgement:
    published, twelve = float(claim["value"]), len(reference.layers())
    if per_layer.empty:
        return _untestable(f"no layer where both {OURS} and {claim['baseline']} are ok") | {"metric": metric}
    maximum = _takes_maximum(claim)
    measured = float(per_layer.max() if maximum else per_layer.mean())
    judgement: Judgement = {
        "measured": measured,
        "metric": metric,
        "layers": len(per_layer),
        "decided_by": f"{per_layer.idxmax()}" if maximum else f"mean of {len(per_layer)} layers",
        "carried_by": " ".join(per_layer.index[per_layer >= ENOUGH * published]),
        "contradicted_by": " ".join(per_layer.index[per_layer <= neutral]),
        "reason": "",
    }
    if len(per_layer) < twelve:
        missing = [layer for layer in layer_order(reference.layers().index) if layer not in per_layer.index]
        judgement["reason"] = f"without {' '.join(missing)}, where not both are ok"
    if 2 * len(per_layer) < twelve:
        return judgement | {"verdict": NOT_TESTABLE, "reason": f"only {len(per_layer)} of {twelve} layers"}
    if measured >= ENOUGH * published:
        return judgement | {"verdict": REPRODUCED}
    return judgement | {"verdict": PARTLY if measured > neutral else NOT_REPRODUCED}


def _judge_rank(claim: pd.Series, speed: Callable[[str], pd.Series]) -> Judgement:
    """Rank what leaving out each optimization costs; one that costs as much as another ranks behind it."""
    twelve = len(reference.layers())
    losses = pd.DataFrame({name: divide(speed(OURS), speed(name)) for name in ABLATED}).dropna()
    if losses.empty:
        return _untestable(f"no layer where {OURS} and its three ablated variants are all ok")
    losses = losses.reindex(layer_order(losses.index))
    means, name = losses.mean(), claim["baseline"]
    others = losses.drop(columns=name)
    rank = 1 + int((means.drop(name) >= means[name]).sum())
    judgement: Judgement = {
        "measured": float(rank),
        "metric": "mean TFLOPS of im2win over the variant's",
        "layers": len(losses),
        "decided_by": "; ".join(f"{label(one)} {number(means[one])}x" for one in ABLATED),
        "carried_by": " ".join(losses.index[(losses[name] > others.max(axis=1)) & (losses[name] > 1)]),
        "contradicted_by": " ".join(losses.index[(losses[name] <= others.max(axis=1)) | (losses[name] <= 1)]),
        "reason": "" if len(losses) == twelve else f"{len(losses)} of {twelve} layers have all four",
    }
    if 2 * len(losses) < twelve:
        return judgement | {"verdict": NOT_TESTABLE, "reason": f"only {len(losses)} of {twelve} layers"}
    if means[name] <= 1:
        return judgement | {"verdict": NOT_REPRODUCED, "reason": "leaving it out costs nothing"}
    return judgement | {"verdict": {1: REPRODUCED, 2: PARTLY}.get(rank, NOT_REPRODUCED)}


def to_markdown(judged: pd.DataFrame) -> str:
    """Write the claims as Markdown, one table per selection."""
    parts = []
    for key, group in judged.groupby(list(SELECTED), sort=False):
        parts.append(f"### {Selection(*key)} (experiment {key[0]})\n")
        header = ["claim", "verdict", "published", "authors' logs", "measured", "layers"]
        header += ["carried by", "contradicted by"]
        lines = []
        for _, row in group.iterrows():
            shown = {name: _quantity(row[name], row["unit"]) for name in ("published", "authors_logs", "measured")}
            verdict = f"**{row['verdict']}**" + (f" ({row['reason']})" if row["reason"] else "")
            layers = [f"{row['layers']} of {row['layers_of']}", _cell(row["carried_by"]), _cell(row["contradicted_by"])]
            lines.append([row["statement"], verdict, *shown.values(), *layers])
        parts.append(markdown_table(header, lines, texts=(0, 1, 6, 7)))
    return "\n".join(parts)


def rule() -> str:
    """Say the rule of the verdicts in a paragraph."""
    half = (len(reference.layers()) + 1) // 2
    return (
        f"A claim is *{REPRODUCED}* at {ENOUGH:.0%} of the published value or more (a rank: first), *{PARTLY}* below "
        f"that if the direction holds (a ratio above 1, a reduction above 0, rank 2), else *{NOT_REPRODUCED}*; it is "
        f"*{NOT_TESTABLE}* with fewer than {half} layers on which everything compared is ok. A layer carries a claim "
        f"if it alone reaches {ENOUGH:.0%} of the published value, and contradicts it if im2win is not ahead there.\n"
    )


def _quantity(value: float, unit: str) -> str:
    if pd.isna(value):
        return "-"
    return f"rank {value:.0f}" if unit == "rank" else f"{number(value)}{'x' if unit == 'x' else ' ' + unit}"


def _cell(names: object) -> str:
    return names if isinstance(names, str) and names else "-"


def headline(judged: pd.DataFrame, archive: Archive) -> pd.DataFrame:
    """Take the claims of the first selection: the paper's layers end to end, where the table has them."""
    first = pick(archive.measurements)
    if first is None:
        return judged.head(0)
    keep = pd.Series(True, index=judged.index)
    for name in SELECTED:
        keep &= judged[name] == getattr(first, name)
    return judged[keep]


def main() -> None:
    """Write claims.csv and claims.md for one table."""
    parser = argparse.ArgumentParser(prog="python -m analysis.claims", description="Judge the paper's claims.")
    parser.add_argument("--table", type=Path, required=True, help="folder with measurements.csv")
    parser.add_argument("--output-dir", type=Path, required=True, help="folder for claims.csv and claims.md")
    arguments = parser.parse_args()
    archive = read(arguments.table)
    judged = judge(archive)
    content = judged.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    write_atomically(arguments.output_dir / "claims.csv", content)
    title = f"# The paper's claims, measured on {archive.device_name}\n\n"
    write_atomically(arguments.output_dir / "claims.md", title + to_markdown(judged) + "\n" + rule())


if __name__ == "__main__":
    run(main)

"""The verdicts on the paper's claims as text: tables, explanations, and the rule that decides."""

from dataclasses import astuple

import pandas as pd

from analysis.numbers import published
from analysis.numbers.bootstrap import LEVEL, TIMES
from analysis.numbers.judged import CLAIM_COLUMNS, headline_claims, interval_text, under_every_protocol, verdict_text
from analysis.numbers.layers import layer_sizes
from analysis.numbers.series import PROTOCOLS, Selection, rows_of, selections, with_best_cudnn
from analysis.numbers.verdicts import ENOUGH, NOT_REPRODUCED, NOT_TESTABLE, PARTLY, REPRODUCED, SELECTED, judge
from analysis.prose.reasons import abstract_and_logs, decompositions, explanation
from analysis.table.archive import Archive
from analysis.writing.phrases import markdown_table, quantity

#: Words that a report marks -> their class in its style sheet.
MARKS = {
    REPRODUCED: "mark good",
    PARTLY: "mark fair",
    NOT_REPRODUCED: "mark bad",
    NOT_TESTABLE: "mark none",
    "Stale:": "mark bad",
}


def explained(archive: Archive) -> pd.DataFrame:
    """Judge all claims (`analysis.numbers.verdicts`) and explain those that can be tested: CLAIM_COLUMNS."""
    judged, sizes = judge(archive), layer_sizes(archive)
    claims = {claim["id"]: claim for _, claim in published.claims().iterrows()}
    said = pd.Series(float("nan"), index=judged.index, dtype=object)
    for selection in selections(archive.measurements):
        of_it = (judged[list(SELECTED)] == list(astuple(selection))).all(axis=1) & (judged["verdict"] != NOT_TESTABLE)
        if of_it.any():
            rows = with_best_cudnn(rows_of(archive.measurements, selection))
            for index, claim in judged.loc[of_it, "claim"].items():
                said[index] = explanation(claims[claim], rows, sizes)
    judged = judged.assign(explanation=said, decomposition=decompositions(judged))
    return judged[list(CLAIM_COLUMNS)]


def summary(judged: pd.DataFrame, archive: Archive, reasons: bool = True) -> str:
    """Write the headline's claims as Markdown: a table with a column for each protocol, then the reasons."""
    alike = under_every_protocol(judged, archive)
    if alike.empty:
        return ""
    first = headline_claims(judged, archive)
    protocols = sorted(alike["protocol"].unique(), key=lambda one: (*PROTOCOLS, one).index(one))
    lines, why = [], []
    for _, group in alike.groupby("claim", sort=False):
        rows = group.set_index("protocol")
        row = rows.loc[protocols[0]]
        cells = [verdict_text(rows.loc[protocol]) if protocol in rows.index else "-" for protocol in protocols]
        published = [quantity(row[name], row["unit"]) for name in ("published", "authors_logs")]
        lines.append([row["statement"], *cells, *published])
        texts = [text for text in (row["explanation"], row["decomposition"]) if isinstance(text, str) and text]
        if texts:
            why.append(f"* **{_capital(row['statement'])}.** {' '.join(texts)}\n")
    selected = Selection(*(first[name].iloc[0] for name in SELECTED))
    where = f"Suite {selected.suite}, batch {selected.batch}, {selected.numerics}, on {archive.device_name}:"
    table = markdown_table(["claim", *protocols, "published", "authors' logs"], lines, texts=range(len(protocols) + 3))
    text = f"{where}\n\n{table}"
    return text + (f"\n### Why\n\n{''.join(why)}" if reasons and why else "")


def rows(judged: pd.DataFrame, archive: Archive) -> str:
    """Write the headline's claims as Markdown, a part for each: its verdict as heading, protocols and reasons below."""
    alike, parts = under_every_protocol(judged, archive), []
    for claim in headline_claims(judged, archive).to_dict("records"):
        each = alike[alike["claim"] == claim["claim"]]
        values = {name: quantity(claim[name], claim["unit"]) for name in ("measured", "published", "authors_logs")}
        parts.append(f"### **{claim['verdict']}** {claim['statement']} *{values['measured']}*\n")
        lines = [
            [row["protocol"], f"**{row['verdict']}**", quantity(row["measured"], row["unit"]), interval_text(row)]
            for _, row in each.iterrows()
        ]
        parts.append(markdown_table(["protocol", "verdict", "measured", "95 % interval"], lines, texts=(0, 1)))
        parts.append(f"The paper publishes {values['published']}; the authors' logs give {values['authors_logs']}.\n")
        said = [text for text in (claim["reason"], claim["explanation"], claim["decomposition"]) if _cell(text) != "-"]
        parts.append(f"{' '.join(map(str, said))}\n" if said else "")
    return "\n".join(parts)


def to_markdown(judged: pd.DataFrame) -> str:
    """Write the claims as Markdown, one table per selection."""
    parts = []
    for key, group in judged.groupby(list(SELECTED), sort=False):
        parts.append(f"### {Selection(*key)} (experiment {key[0]})\n")
        header = ["claim", "verdict", "published", "authors' logs", "measured", "95 % interval", "layers"]
        header += ["carried by", "contradicted by"]
        lines = []
        for _, row in group.iterrows():
            shown = {name: quantity(row[name], row["unit"]) for name in ("published", "authors_logs", "measured")}
            verdict = f"**{row['verdict']}**" + (f" ({row['reason']})" if row["reason"] else "")
            layers = [f"{row['layers']} of {row['layers_of']}", _cell(row["carried_by"]), _cell(row["contradicted_by"])]
            lines.append([row["statement"], verdict, *shown.values(), interval_text(row), *layers])
        parts.append(markdown_table(header, lines, texts=(0, 1, 7, 8)))
    return "\n".join(parts)


def in_short() -> str:
    """Explain the three verdicts in one sentence."""
    return (
        f"*{REPRODUCED}*: at least {ENOUGH:.0%} of the published value; *{PARTLY}*: in the claimed direction, but less "
        f"(however much less); *{NOT_REPRODUCED}*: not even the direction."
    )


def rule() -> str:
    """Explain the rule of the verdicts, the intervals and the published numbers, in a paragraph each."""
    half = (len(published.layers()) + 1) // 2
    return (
        f"A claim is *{REPRODUCED}* if the worse end of its interval reaches {ENOUGH:.0%} of the published value (a "
        f"rank: if it is 1); *{PARTLY}* if it is lower, but in the claimed direction (a ratio above 1, a reduction "
        f"above 0, rank 2); else *{NOT_REPRODUCED}*. It is *{NOT_TESTABLE}* with fewer than {half} layers on which all "
        "compared algorithms are ok, and ambiguous if the other end of the interval gives another verdict. A layer "
        f"carries a claim if it alone reaches {ENOUGH:.0%} of the published value, and contradicts it if im2win is not "
        f"ahead there.\n\nThe {LEVEL:.0%} interval is a percentile bootstrap of {TIMES} resamples: every row's raw "
        "samples are drawn again with replacement and reduced by the statistic that gave its time (the median; under "
        "`authors` the minimum for im2win and direct, the mean for the libraries), and the best cuDNN is chosen again "
        "for each resample. It covers the noise within a measuring process, not the variation between days or "
        "machines. Memory is read once per point, so a memory claim has no interval.\n\n"
        f"{abstract_and_logs()}\n"
    )


def _cell(names: object) -> str:
    return names if isinstance(names, str) and names else "-"


def _capital(text: str) -> str:
    """Begin with a capital letter, unless the first word is the name im2win."""
    return text if text.startswith("im2win") else text[:1].upper() + text[1:]

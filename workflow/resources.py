"""Writes what every compiled kernel takes of the GPU, from the compiler's reports.

python -m workflow.resources --csv FILE --markdown FILE REPORT.json ...
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.table.files import write_atomically

COLUMNS = ("program", "kernel", "architecture", "registers", "shared_bytes", "spill_bytes", "stack_bytes", "nvrtc")


def rows(reports: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row (COLUMNS) for each kernel of each report, in the order of the reports."""
    return [
        {
            "program": report["program"],
            "kernel": kernel["expression"],
            "architecture": report["architecture"],
            "registers": kernel["registers"],
            "shared_bytes": kernel["shared_bytes"],
            "spill_bytes": kernel["spill_store_bytes"] + kernel["spill_load_bytes"],
            "stack_bytes": kernel["stack_bytes"],
            "nvrtc": report["nvrtc"],
        }
        for report in reports
        for kernel in report["kernels"]
    ]


def as_csv(table: Sequence[dict[str, Any]]) -> str:
    """The rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def as_markdown(table: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table, and a sentence on spills."""
    spilling = [f"{row['kernel']} ({row['architecture']})" for row in table if row["spill_bytes"]]
    said = f"Registers spill in {', '.join(spilling)}." if spilling else "No kernel spills a register."
    lines = ["# Resources of the kernels", "", said, "", f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(str(row[column]) for column in COLUMNS)} |" for row in table]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.resources", description="Tabulate the resources.")
    parser.add_argument("--csv", required=True, type=Path)
    parser.add_argument("--markdown", required=True, type=Path)
    parser.add_argument("reports", nargs="+", type=Path)
    options = parser.parse_args(arguments)
    table = rows([json.loads(path.read_text()) for path in options.reports])
    write_atomically(options.csv, as_csv(table))
    write_atomically(options.markdown, as_markdown(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())

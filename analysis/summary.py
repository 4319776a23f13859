"""Print the summary of a run: speeds, verdicts, outcomes, points that need attention, and where the reports are.

    python -m analysis.summary --results results NAME=FOLDER ...

NAME is a folder below the results, FOLDER that of its results table; archives have names that begin with `archive/`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from analysis.numbers.judged import read_claims
from analysis.prose.summary import briefly, describe
from analysis.table.archive import read
from analysis.table.errors import ArchiveError


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m analysis.summary", description="Print the summary of a run.")
    parser.add_argument("--results", required=True, type=Path, help="the folder of all results")
    parser.add_argument("tables", nargs="*", metavar="NAME=FOLDER", help="a results table and its name")
    options = parser.parse_args(arguments)
    tables = dict(entry.split("=", 1) for entry in options.tables)
    only_archives = all(name.startswith("archive/") for name in tables)
    try:
        for name, folder in tables.items():
            archive, own = read(folder), options.results / name
            judged = read_claims(own / "claims.csv")
            if name.startswith("archive/") and not only_archives:
                print(briefly(archive, judged, own))
            else:
                print("\n".join(["", *describe(archive, judged, own)]))
    except ArchiveError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Write the guide of a results table: which algorithm for which layer, when im2win pays, and what it costs.

python -m analysis.guide --table FOLDER --output FOLDER/guide.md
"""

import argparse
from pathlib import Path

from analysis.prose.guide import TITLE, body
from analysis.table.archive import read
from analysis.table.cli import run
from analysis.table.files import write_atomically


def main() -> None:
    """Write the page of one table."""
    parser = argparse.ArgumentParser(prog="python -m analysis.guide", description="Write which algorithm to use.")
    parser.add_argument("--table", type=Path, required=True, help="folder with measurements.csv")
    parser.add_argument("--output", type=Path, required=True, help="the page, a Markdown file")
    arguments = parser.parse_args()
    write_atomically(arguments.output, f"# {TITLE}\n\n{body(read(arguments.table))}")


if __name__ == "__main__":
    run(main)

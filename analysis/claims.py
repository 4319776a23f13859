"""Write the verdicts on the paper's claims (`analysis.numbers.verdicts`) as a table and as text.

python -m analysis.claims --table FOLDER --output-dir FOLDER      writes claims.csv and claims.md
"""

import argparse
from pathlib import Path

from analysis.numbers.networks import without_networks
from analysis.prose import claims
from analysis.table.archive import read
from analysis.table.cli import run
from analysis.table.files import write_atomically


def main() -> None:
    """Write claims.csv and claims.md for one table."""
    parser = argparse.ArgumentParser(prog="python -m analysis.claims", description="Judge the paper's claims.")
    parser.add_argument("--table", type=Path, required=True, help="folder with measurements.csv")
    parser.add_argument("--output-dir", type=Path, required=True, help="folder for claims.csv and claims.md")
    arguments = parser.parse_args()
    archive = without_networks(read(arguments.table))
    judged = claims.explained(archive)
    content = judged.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    write_atomically(arguments.output_dir / "claims.csv", content)
    parts = [f"# The paper's claims, measured on {archive.device_name}\n", claims.summary(judged, archive)]
    parts += [claims.to_markdown(judged), claims.rule()]
    write_atomically(arguments.output_dir / "claims.md", "\n".join(part for part in parts if part))


if __name__ == "__main__":
    run(main)

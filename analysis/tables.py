"""Write the tables of a results table: TFLOPS, best cuDNN, memory, ablation, layers, networks, whole networks, what is
not ok, machine, claims.

    python -m analysis.tables --table FOLDER --claims FOLDER/claims.csv --output FOLDER

writes NAME.csv, NAME.md and NAME.tex for each. A CSV holds every selection of the table (suite, batch, protocol,
numeric class) with empty cells where there is no number; Markdown and LaTeX have a table for each selection, with the
status in such cells.
"""

import argparse
from pathlib import Path

from analysis.frames import grids, inventory, models, network_tables
from analysis.numbers.networks import without_networks
from analysis.table.archive import read
from analysis.table.cli import run
from analysis.table.files import write_atomically


def main() -> None:
    """Write the tables of one results table."""
    parser = argparse.ArgumentParser(prog="python -m analysis.tables", description="Write the tables.")
    parser.add_argument("--table", type=Path, required=True, help="folder with measurements.csv")
    parser.add_argument("--claims", type=Path, required=True, help="claims.csv of this table")
    parser.add_argument("--output", type=Path, required=True, help="folder for the tables")
    arguments = parser.parse_args()
    archive = read(arguments.table)
    layers = without_networks(archive)
    every = grids.build(layers) | {"layers": inventory.layers(layers)} | network_tables.build(archive)
    every |= {"models": models.build(archive)}
    every |= {"outcome": inventory.outcome(archive)}
    every |= {"machine": inventory.machine(archive), "claims": inventory.claims(arguments.claims)}
    for name, table in every.items():
        write_atomically(arguments.output / f"{name}.csv", table.csv())
        title = f"# {table.title}: measured on {archive.device_name}\n\n"
        write_atomically(arguments.output / f"{name}.md", title + table.markdown)
        write_atomically(arguments.output / f"{name}.tex", table.latex(name, archive.device_name))


if __name__ == "__main__":
    run(main)

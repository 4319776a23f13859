"""Trace a number to its raw samples, configuration, sources and machine.

    python -m analysis.trace ARCHIVE LAYER ALGORITHM [PROTOCOL] [--suite S] [--numerics N] [--batch B] [--experiment E]
    python -m analysis.trace ARCHIVE LAYER ALGORITHM --data DATA
    python -m analysis.trace ARCHIVE [PROTOCOL] --claim CLAIM

ARCHIVE is a folder with measurements.csv, or the name of one in analysis/archive. Every number of a figure, a table or
a sentence belongs to an algorithm on a layer of one archive under one protocol, or is a mean over layers of ratios of
such numbers; docs/measuring.md says how to find which. `cudnn_best` is traced to the algorithm that was the fastest.
Suite, batch, protocol and numeric class default to those that the figures show first or, for an algorithm that was not
measured there, to the first of its own.

With --data the number is an error in accuracy.csv, on that kind of data. With --claim the program prints a claim's
number and the rows behind it, layer by layer, each with the command that traces it. Exits with 2, listing the choices,
if there is no such number.
"""

import argparse
from pathlib import Path

from analysis.numbers.staleness import read_sources
from analysis.prose.trace import OPTIONS, choose, row_of, trace, trace_claim, trace_error
from analysis.table.archive import read
from analysis.table.cli import find, run

SOURCES = Path("results/sources.json")


def main() -> None:
    """Trace one number, or the rows behind a claim."""
    parser = argparse.ArgumentParser(prog="python -m analysis.trace", description="Trace a number to its origin.")
    parser.add_argument("archive", help="a folder with measurements.csv, or an archive's name")
    parser.add_argument("address", nargs="*", metavar="LAYER ALGORITHM [PROTOCOL]", help="or with --claim: [PROTOCOL]")
    parser.add_argument("--claim", help="list the rows that a claim of analysis/reference/claims.csv is made of")
    parser.add_argument("--data", help="the error on data of this kind (accuracy.csv), not a measurement")
    parser.add_argument("--experiment", help="if not the first one")
    parser.add_argument("--suite", help="if not the first one")
    parser.add_argument("--batch", type=int, help="if not the first one")
    parser.add_argument("--numerics", help="if not the first one")
    parser.add_argument("--sources", type=Path, default=SOURCES, help="today's hashes, as snakemake writes them")
    options = parser.parse_args()
    named = list(options.address)
    rest = named if options.claim else named[2:]
    if len(rest) > 1 or len(named) - len(rest) == 1 or not (options.claim or named):
        parser.error("give a layer, an algorithm and a protocol or none; or --claim and a protocol or none")
    if options.data:
        chosen = [f"--{key}" for key in ("claim", *OPTIONS) if getattr(options, key) is not None]
        if beside := [*rest, *chosen]:
            parser.error(f"--data takes a layer and an algorithm alone: leave out {', '.join(beside)}")
    archive = read(find(options.archive))
    today = read_sources(options.sources) if options.sources.is_file() else None
    if options.data:
        print("\n".join(trace_error(archive.folder, named[0], named[1], options.data, today)))
        return
    wanted = {key: getattr(options, key) for key in OPTIONS}
    algorithm = "" if options.claim else named[1]
    selection = choose(archive, wanted | {"protocol": rest[0] if rest else None}, algorithm)
    if options.claim:
        print("\n".join(trace_claim(archive, selection, options.claim)))
        return
    print("\n".join(trace(archive, row_of(archive, selection, *named[:2]), today)))
    if today is None:
        print(f"Whether it is stale is not known: {options.sources} is missing, which snakemake writes.")


if __name__ == "__main__":
    run(main)

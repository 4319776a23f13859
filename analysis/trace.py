"""Trace a number to its raw samples, configuration, sources and machine.

    python -m analysis.trace ARCHIVE LAYER ALGORITHM [PROTOCOL] [--suite S] [--numerics N] [--batch B] [--experiment E]
    python -m analysis.trace ARCHIVE LAYER ALGORITHM --data DATA
    python -m analysis.trace ARCHIVE [PROTOCOL] --claim CLAIM

ARCHIVE is a folder with measurements.csv, or the name of one in analysis/archive. Every number of a figure, a table or
a sentence is that of an algorithm on a layer of one archive under one protocol, or a mean over layers of ratios of
those: docs/measuring.md says how to read the address off. `cudnn_best` is traced to the algorithm that was the best
there. Where nothing is said, the suite, batch, protocol and numeric class are those that the figures show first; of an
algorithm that is not among those, the first that it has.

With --data it is an error of accuracy.csv, on that kind of data. With --claim it gives a claim's number and lists what
it was made of, layer by layer, with the command for each. Exits 2, naming the choices, where there is no such number.
"""

import argparse
from pathlib import Path

from analysis.numbers.staleness import read_sources
from analysis.prose.trace import OPTIONS, choose, row_of, trace, trace_claim, trace_error
from analysis.table.archive import read
from analysis.table.cli import find, run

SOURCES = Path("results/sources.json")


def main() -> None:
    """Trace one number, or what a claim is made of."""
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
        print(f"Whether it is stale cannot be told: {options.sources} is missing, which snakemake writes.")


if __name__ == "__main__":
    run(main)

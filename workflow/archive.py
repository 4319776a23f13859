"""Copies a results table to analysis/archive/DEVICE, once it has been checked.

python -m workflow.archive --folder results/DEVICE
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from analysis.table import archive as table
from analysis.table.companions import COMPANIONS
from analysis.table.files import write_atomically
from analysis.table.schema import TABLE_FILES
from workflow.experiment.archives import ARCHIVES


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.archive", description="Archive a results table.")
    parser.add_argument("--folder", required=True, type=Path, help="the device's folder of results")
    parser.add_argument("--archives", type=Path, default=ARCHIVES, help="where the archives are")
    options = parser.parse_args(arguments)
    try:
        archive = table.read(options.folder)
        archive.samples()
        target = options.archives / str(archive.provenance["device"]["slug"])
        for name in TABLE_FILES:
            write_atomically(target / name, (options.folder / name).read_bytes())
        for name in COMPANIONS:
            if (options.folder / name).exists():
                write_atomically(target / name, (options.folder / name).read_bytes())
    except (table.ArchiveError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{archive.device_name}: {len(archive.measurements)} rows copied to {os.path.relpath(target)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the programs of this package share: how they name a results table, and how they end."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from analysis.table.errors import ArchiveError

ARCHIVES = Path(__file__).resolve().parents[1] / "archive"


def find(name: str) -> Path:
    """The folder of a results table: the path of one, or the name of an archive."""
    named = ARCHIVES / name
    return Path(os.path.relpath(named)) if named.is_dir() and not Path(name).is_dir() else Path(name)


def run(main: Callable[[], None]) -> None:
    """Run a program; an ArchiveError, or a file that cannot be read or written, ends it with status 2.

    The error is one line on stderr, without a traceback.
    """
    try:
        main()
    except (ArchiveError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)

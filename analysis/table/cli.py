"""How the programs of this package end: a damaged input is one line on stderr and exit status 2, no traceback."""

import sys
from collections.abc import Callable

from analysis.table.archive import ArchiveError


def run(main: Callable[[], None]) -> None:
    """Run a program; an ArchiveError, or a file that cannot be read or written, ends it with status 2."""
    try:
        main()
    except (ArchiveError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)

"""The one fact of conf/algorithm/ that a table rests on: which statistic the authors' artifact takes of an algorithm.

A point measured since its configuration has `about` says so itself. Imports no pandas.
"""

from functools import cache
from pathlib import Path

import yaml

from analysis.table.errors import ArchiveError

#: The folder of the algorithms' files.
FOLDER = Path(__file__).resolve().parents[2] / "conf" / "algorithm"
#: The statistic where an algorithm's file names none.
USUAL = "mean"


@cache
def authors_statistic(algorithm: str) -> str | None:
    """Read the statistic of an algorithm; None where it has no file (any more). Raises ArchiveError."""
    path = FOLDER / f"{algorithm}.yaml"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        return str((document.get("about") or {}).get("authors_statistic", USUAL))
    except FileNotFoundError:
        return None
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError) as error:
        raise ArchiveError(path, f"not YAML ({error})", "correct it (git checkout restores it)") from None

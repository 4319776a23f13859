"""Reading claims.csv."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.frames import inventory
from analysis.numbers.judged import read_claims
from analysis.table.errors import ArchiveError


@pytest.mark.parametrize(("content", "message"), [(None, "is missing"), ("", "not CSV"), ("a,b\n1,2\n", "columns")])
@pytest.mark.parametrize("reader", [read_claims, inventory.claims])
def test_damaged_claims(reader: Callable[[Path], Any], tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "claims.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ArchiveError, match=f"claims.csv: .*{message}"):
        reader(path)

"""Lists of names in sentences."""

import pytest

from analysis.writing.phrases import names


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([], "none"),
        (["a"], "a"),
        (["a", "b, c"], "a and b, c"),
        (["a", "b", "c"], "a, b and c"),
        (["a", "b, c", "d"], "a; b, c; and d"),
    ],
)
def test_names(items: list[str], text: str) -> None:
    assert names(items) == text

"""The natural order of names."""

from analysis.table.order import natural_key


def test_names_are_ordered_by_their_numbers() -> None:
    assert sorted(["conv10", "conv2", "conv1", "a"], key=natural_key) == ["a", "conv1", "conv2", "conv10"]

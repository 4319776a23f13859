"""PyTorch's autotuner is asked until its choice is good."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from kernels.families import cudnn_autotuned
from kernels.families.cudnn_autotuned import search_until_good


def asked(times: Iterator[float]) -> list[float]:
    """What was answered before it was enough."""
    answers: list[float] = []

    def ask() -> float:
        answers.append(next(times))
        return answers[-1]

    search_until_good(ask)
    return answers


def test_a_steady_choice_is_taken_after_a_few() -> None:
    assert asked(itertools.repeat(2.0)) == [2.0] * cudnn_autotuned._MIN_TRIES


def test_a_bad_choice_is_not_the_last_one() -> None:
    assert asked(iter([3.0, 2.0, 3.0, 2.0, 3.0, 3.0, 2.01, 1.0])) == [3.0, 2.0, 3.0, 2.0, 3.0, 3.0, 2.01]


def test_it_ends() -> None:
    worse_and_worse = (1.1**i for i in itertools.count())
    assert len(asked(worse_and_worse)) == cudnn_autotuned._MAX_TRIES

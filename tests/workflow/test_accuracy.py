"""The errors of an output, the kinds of data on which they are compared, and the table of both."""

from __future__ import annotations

import csv
import io
import math

import pytest
import torch

from analysis.table import companions
from analysis.table.files import csv_text
from kernels.problem import ConvProblem
from kernels.reference import reference
from tests.shared import known_conf
from workflow.accuracy import Row, _rows, accuracy
from workflow.harness.distributions import COMPARED, make

PROBLEM = ConvProblem(2, 3, 9, 8, 5, 3, 3, 1)
CPU = torch.device("cpu")


def exact(x: torch.Tensor, f: torch.Tensor) -> torch.Tensor:
    return reference(PROBLEM, x, f)


@pytest.mark.parametrize("name", COMPARED)
def test_distributions_are_repeatable_and_finite(name: str) -> None:
    x, f = make(name, PROBLEM, CPU, seed=3)
    again = make(name, PROBLEM, CPU, seed=3)
    assert torch.equal(x, again[0])
    assert torch.equal(f, again[1])
    assert exact(x, f).isfinite().all()
    assert exact(x, f).abs().max() < torch.finfo(torch.float32).max


def test_an_unknown_distribution_is_a_clear_error() -> None:
    with pytest.raises(KeyError, match="no distribution 'cauchy'; there are uniform, normal"):
        make("cauchy", PROBLEM, CPU, seed=1)


def test_a_result_that_is_too_small_has_a_negative_mean_error() -> None:
    x, f = make("normal", PROBLEM, CPU, seed=1)
    found = accuracy(PROBLEM, x, f, exact(x, f) * (1 - 1e-3))
    assert found.error_fro == pytest.approx(1e-3)
    assert found.error_max == pytest.approx(1e-3)
    assert found.error_mean == pytest.approx(-1e-3)
    assert 0 < found.error_componentwise < 1e-3


def test_an_exact_result_has_no_error_even_where_all_terms_are_zero() -> None:
    x, f = make("normal", PROBLEM, CPU, seed=1)
    x[0] = 0.0
    assert set(vars(accuracy(PROBLEM, x, f, exact(x, f))).values()) == {0.0}


def test_a_nan_is_never_a_small_error() -> None:
    x, f = make("normal", PROBLEM, CPU, seed=1)
    y = exact(x, f)
    y[1, 2, 3, 4] = math.nan
    assert all(math.isnan(value) for value in vars(accuracy(PROBLEM, x, f, y)).values())


def test_table_has_a_column_for_each_field() -> None:
    row = Row(
        suite="tiny",
        batch=4,
        layer="conv1",
        reduction=27,
        distribution="uniform",
        algorithm="im2win_tensor_core",
        numerics="fp32_accurate",
        status="unsupported",
        reason="too large, by far",
        error_fro=None,
        error_max=None,
        error_componentwise=None,
        error_mean=None,
        source_hash="0",
    )
    (read,) = csv.DictReader(io.StringIO(csv_text(Row, [row])))
    assert list(read) == list(vars(row)) == list(companions.ACCURACY_COLUMNS)
    assert read["reason"] == "too large, by far"
    assert read["error_fro"] == ""


def test_one_that_fails_costs_no_other_its_errors() -> None:
    """Each kind of data has a row with the reason, of what fails when it is planned as of what fails when it runs."""
    known = known_conf().get("algorithm", "cpu_direct")
    for wrong, status, reason in (
        ({"name": "no_such"}, "failed", "registers no algorithm"),
        ({"name": "im2win_tensor_core", "module": "kernels.families.im2win_tensor_core"}, "unsupported", "NVIDIA GPU"),
    ):
        entry = known | wrong
        rows = list(_rows("tiny", "conv1", PROBLEM, entry | {"programs": []}, "fp32_accurate", CPU, None))
        assert [row.distribution for row in rows] == list(COMPARED)
        assert {(row.status, reason in row.reason) for row in rows} == {(status, True)}, rows[0].reason
    assert {row.status for row in _rows("tiny", "conv1", PROBLEM, known, "strict_fp32", CPU, None)} == {"ok"}

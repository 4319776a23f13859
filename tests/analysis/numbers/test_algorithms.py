"""What conf/algorithm/ says, and what follows from it."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from analysis.numbers import algorithms, published
from analysis.table.errors import ArchiveError
from workflow.experiment.schema import About


def test_the_fields_are_those_of_the_schema() -> None:
    """Defaults too: a file that leaves a field out means the same to a run and to its analysis."""
    here = {field.name: field.default for field in fields(algorithms.Algorithm)}
    there = {field.name: getattr(field.default, "value", field.default) for field in fields(About)}
    assert {name: here[name] for name in there} == there
    assert set(here) - set(there) == {"name", "backend", "numerics", "arithmetic"}


def test_what_the_papers_figures_and_claims_compare() -> None:
    assert algorithms.in_paper("cuda") == ("im2col_cublas", "cudnn_best", "im2win", "direct")
    assert algorithms.in_paper("cpu") == ("cpu_im2col", "cpu_torch", "cpu_im2win", "cpu_direct", "cpu_fft")
    assert (algorithms.paper("cuda"), algorithms.paper("cpu")) == ("im2win", "cpu_im2win")
    assert set(published.claims()["baseline"]) <= {*algorithms.in_paper("cuda"), *algorithms.ablations()}
    logged = {*algorithms.in_paper("cuda"), *algorithms.ablations(), "im2win_base"}
    assert set(published.authors_tflops()) == logged
    assert all(name in algorithms.described() for name in algorithms.YARDSTICKS.values())


def test_which_baselines_make_which_best() -> None:
    """The best cuDNN is of NCHW; the best TF32 is of all that takes and gives it, whatever is in between."""
    reduced = {name for name in algorithms.described() if algorithms.is_reduced_baseline(name)}
    assert reduced == {"cudnn_implicit_precomp_gemm", "cudnn_autotuned", "cudnn_channels_last"}
    assert not algorithms.is_cudnn("cudnn_channels_last")


def test_ours_stand_after_the_papers_own() -> None:
    present = ["im2win_winograd", "im2win_fused", "cudnn_fft", "im2win_base"]
    assert algorithms.shown("cuda", present) == (
        *("im2col_cublas", "cudnn_best", "im2win", "im2win_fused", "im2win_winograd", "direct"),
    )
    assert algorithms.shown("cpu", present) == algorithms.in_paper("cpu")


def test_what_multiplies_less() -> None:
    less = {name for name in algorithms.described() if algorithms.about(name).multiplies_less}
    assert {"cudnn_fft", "cudnn_winograd_nonfused", "im2win_winograd"} < less
    assert "cudnn_autotuned" not in less  # it is not known which algorithm it runs


def test_an_algorithm_without_a_file() -> None:
    one = algorithms.about("zebra")
    assert (one.label, one.color, one.role, one.is_candidate) == ("zebra", "0.5", "", True)
    assert algorithms.in_order(["zebra", "ant", "cpu_fft"]) == ["cpu_fft", "ant", "zebra"]


def test_what_a_file_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(algorithms, "FOLDER", tmp_path)
    (tmp_path / "plain.yaml").write_text("name: plain\nbackend: cuda\nnumerics: [strict_fp32]\narithmetic: fp32\n")
    assert algorithms.label("plain") == "plain"
    assert algorithms.about("plain").role == "ours"
    with pytest.raises(ArchiveError, match="no algorithm of the backend cuda has the role paper"):
        algorithms.paper()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: [", "not YAML"),
        ("- a\n", "must be a mapping"),
        ("name: a\nabout: b\n", "must be a mapping"),
        ("name: a\nabout: {colour: red}\n", "about.colour: is not one of name, backend"),
        ("name: a\nabout: {role: best}\n", "about.role: 'best' is not one of paper, ours"),
        ("name: a\nabout: {authors_statistic: median}\n", "about.authors_statistic: 'median' is not one of minimum"),
        ("name: a\nabout: {order: first}\n", "about.order: 'first' is not a whole number"),
        ("name: a\nabout: {in_paper: perhaps}\n", "about.in_paper: 'perhaps' is not true or false"),
    ],
)
def test_a_damaged_file(content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(algorithms, "FOLDER", tmp_path)
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(ArchiveError, match=message):
        algorithms.described()


def test_every_folder_is_read_on_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known: Callable[[], object] = algorithms.described
    before = known()
    monkeypatch.setattr(algorithms, "FOLDER", tmp_path)
    assert set(algorithms.described()) == {algorithms.BEST_CUDNN}
    monkeypatch.undo()
    assert known() == before

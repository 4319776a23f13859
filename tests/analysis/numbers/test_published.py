"""The paper's data against the paper's headline numbers."""

import pytest

from analysis.numbers import published, verdicts
from analysis.numbers.series import divide, layer_order
from analysis.prose import reasons


def test_the_logs_give_the_headline_speedups() -> None:
    speed = published.authors_tflops()
    assert (speed["im2win"] / speed["im2col_cublas"]).mean() == pytest.approx(3.44, abs=0.005)
    over_cudnn = divide(speed["im2win"], speed["cudnn_best"])
    assert (over_cudnn.idxmax(), over_cudnn.max()) == ("conv1", pytest.approx(1.80, abs=0.005))
    over_direct = divide(speed["im2win"], speed["direct"])
    assert (over_direct.idxmax(), over_direct.max()) == ("conv12", pytest.approx(155.8, abs=0.05))


def test_the_logs_give_the_headline_memory() -> None:
    memory = published.authors_memory_mib()
    assert 100 * (1 - memory["im2win"] / memory["im2col_cublas"]).mean() == pytest.approx(21.7, abs=0.05)
    assert 100 * (1 - memory["im2win"] / memory["cudnn_best"]).mean() == pytest.approx(31.5, abs=0.05)


def test_a_reader_is_told_how_abstract_and_logs_differ() -> None:
    said = reasons.abstract_and_logs()
    for part in ("3.44x, the abstract says 3.5x", "21.7 % and 31.5 %", "23.1 % and 32.8 %"):
        assert part in said
    memory = published.authors_memory_mib()
    in_all = 100 * (1 - memory["im2win"].sum() / memory["cudnn_best"].sum())
    assert f"and {in_all:.1f} %) and the geometric mean" in said


def test_the_claims_recompute_from_the_logs() -> None:
    found = {claim["id"]: verdicts.from_logs(claim) for _, claim in published.claims().iterrows()}
    assert found == {
        "speedup_cublas": pytest.approx(3.44, abs=0.005),
        "speedup_cudnn": pytest.approx(1.80, abs=0.005),
        "speedup_direct": pytest.approx(155.8, abs=0.05),
        "memory_cublas": pytest.approx(21.7, abs=0.05),
        "memory_cudnn": pytest.approx(31.5, abs=0.05),
        "ablation_micro_kernel": 1,
    }


def test_there_are_twelve_layers_everywhere() -> None:
    twelve = [f"conv{index}" for index in range(1, 13)]
    for frame in (published.layers(), published.authors_tflops(), published.authors_memory_mib()):
        assert layer_order(frame.index) == twelve
    assert published.layers().at["conv4", "in_channels"] == 64

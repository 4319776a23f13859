"""The totals of networks, on tables whose times are known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.numbers import networks
from analysis.numbers.bootstrap import Resampler
from analysis.numbers.networks import BASELINE, MIX, OLDER, OURS, OURS_ACCURATE, PYTORCH, REDUCED, compare
from analysis.table import archive as table
from analysis.table.archive import Archive, ArchiveError
from tests.analysis.conftest import make_rows, network_row, sizes, write_networks

Build = Callable[..., Path]
LINES = [("net", "square", 3, None, ""), ("net", "depthwise", 2, None, ""), ("net", "volume", 1, 10**6, "3-D")]


def rows() -> list[dict[str, Any]]:
    """Two layers: on one all have a result; on the other neither ours on tensor cores nor the enumerated cuDNN."""
    return [
        network_row("cudnn_autotuned", "square", 4.0),
        network_row("cudnn_winograd", "square", 2.0),
        network_row("cudnn_autotuned", "square", 1.5, numerics="tf32"),
        network_row("im2win_fused", "square", 1.8),
        network_row("im2win_tensor_core", "square", 1.0),
        network_row("cudnn_autotuned", "depthwise", 6.0),
        network_row("cudnn_winograd", "depthwise", status="unsupported"),
        network_row("im2win_fused", "depthwise", 3.0),
        network_row("im2win_tensor_core", "depthwise", status="unsupported"),
    ]


def read(build: Build, given: list[dict[str, Any]], *lines: Any) -> Archive:
    return table.read(write_networks(build(given), *(lines or LINES)))


def totals(one: networks.Comparison) -> tuple[float, float, int]:
    return one.theirs, one.mine, len(one.layers)


def test_a_total_has_the_same_layers_on_both_sides(build: Build) -> None:
    (network,) = networks.networks(read(build, rows()))
    assert network.name == "net"
    assert network.supported == ["square", "depthwise"]
    assert network.layers["kind"].tolist() == ["3 x 3", "depthwise", ""]
    assert totals(compare(network, BASELINE)) == pytest.approx((3 * 2 + 2 * 6, 3 * 1 + 2 * 3, 2))
    assert totals(compare(network, PYTORCH)) == pytest.approx((3 * 4 + 2 * 6, 3 * 1 + 2 * 3, 2))
    assert totals(compare(network, REDUCED)) == pytest.approx((3 * 1.5, 3 * 1, 1))
    assert totals(compare(network, BASELINE, OURS)) == pytest.approx((18, 3 * 1.8 + 2 * 3, 2))
    assert totals(compare(network, BASELINE, OURS_ACCURATE)) == pytest.approx((3 * 2, 3 * 1, 1))
    assert compare(network, BASELINE).speedup == pytest.approx(2)
    nothing = compare(network, OLDER)
    assert nothing.layers == () and nothing.speedup != nothing.speedup


def test_what_is_chosen_and_why_there_is_nothing(build: Build) -> None:
    (network,) = networks.networks(read(build, rows()))
    assert network.best[MIX]["algorithm"].to_dict() == {"square": "im2win_tensor_core", "depthwise": "im2win_fused"}
    assert network.best[BASELINE].loc["square", "algorithm"] == "cudnn_winograd"
    assert network.state(OURS_ACCURATE, "depthwise") == "unsupported"
    assert network.state(REDUCED, "depthwise") == "not measured"
    assert network.state(PYTORCH, "volume") == "unsupported"
    share = network.share_of_flops(["volume"])
    work = 3 * network.layers.at["square", "flops"] + 2 * network.layers.at["depthwise", "flops"]
    assert share == pytest.approx(100 * 1e6 / (1e6 + work))


def test_of_equal_times_the_stricter_is_taken(build: Build) -> None:
    tied = [
        network_row("im2win_tensor_core", "square", 1.0),
        network_row("im2win_fused", "square", 1.0),
        network_row("cudnn_autotuned", "square", 2.0),
        network_row("cudnn_gemm", "square", 2.0),
    ]
    (network,) = networks.networks(read(build, tied, LINES[0]))
    assert network.best[MIX].loc["square", ["algorithm", "numerics"]].tolist() == ["im2win_fused", "strict_fp32"]
    assert network.best[BASELINE].loc["square", "algorithm"] == "cudnn_gemm"
    assert totals(compare(network, BASELINE)) == pytest.approx((6, 3, 1))


def test_the_interval_contains_the_speedup(build: Build) -> None:
    archive = read(build, rows())
    (network,) = networks.networks(archive)
    one = networks.against_baselines(network, Resampler(archive.samples()))[BASELINE]
    assert 0.97 * one.speedup < one.low < one.speedup < one.high < 1.03 * one.speedup
    assert compare(network, BASELINE).low != compare(network, BASELINE).low


def test_nothing_changes_for_the_layers(build: Build) -> None:
    """A table with networks, less the networks, is the table without them; samples and points too."""
    layers = make_rows(["im2win", "cudnn_gemm"])
    alone = table.read(build(layers))
    assert networks.without_networks(alone) is alone
    left = networks.without_networks(read(lambda given: build(given, name="both"), [*layers, *rows()]))
    assert left.measurements.equals(alone.measurements)
    assert left.provenance == alone.provenance
    assert left.samples().equals(alone.samples())


def test_batches_and_protocols(build: Build) -> None:
    """Each batch is a network of its own, 64 first; of several protocols the one from end to end is taken."""
    more = [row for batch in (1, 64) for row in [network_row("cudnn_gemm", "square", 2.0, batch=batch)]]
    more += [network_row("cudnn_gemm", "square", 1.0, protocol="kernel_only")]
    found = networks.networks(read(build, more, LINES[0], ("absent", "square", 1, None, "")))
    assert [(one.selection.batch, one.selection.protocol) for one in found] == [(64, "end_to_end"), (1, "end_to_end")]
    archive = read(build, more, LINES[0], ("absent", "square", 1, None, ""))
    assert networks.unmeasured(archive) == ["absent"]


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ([*LINES[:2], ("net", "one", 1, 0, "")], "net/one: flops is 0, but must be a whole number above 0"),
        ([("net", "square", 3, 5, ""), LINES[1]], r"networks.csv: net/square: flops is 5, but its sizes give \d+"),
        ([LINES[0]], "net/depthwise is measured, but not listed"),
        ([LINES[0], LINES[0], LINES[1]], "net/square: there twice"),
        ([("net", "square", 0, None, ""), LINES[1]], "net/square: count is 0, but must be a whole number above 0"),
    ],
)
def test_what_does_not_go_with_the_table(build: Build, lines: list[Any], wrong: str) -> None:
    with pytest.raises(ArchiveError, match=wrong):
        networks.networks(read(build, rows(), *lines))


def test_on_a_cpu_pytorch_is_the_baseline(build: Build) -> None:
    given = [network_row("cpu_torch", "square", 2.0, batch=1), network_row("cpu_im2win", "square", 4.0, batch=1)]
    archive = table.read(write_networks(build(given, "cpu"), LINES[0]))
    (network,) = networks.networks(archive)
    assert list(network.sides) == [BASELINE, OURS, OURS_ACCURATE, MIX]
    assert list(networks.against_baselines(network)) == [BASELINE]
    assert totals(compare(network, BASELINE)) == pytest.approx((6, 12, 1))
    assert sizes("square")["padding"] == 1

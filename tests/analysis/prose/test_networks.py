"""The sentences on networks, and the guide's answer for one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.numbers.networks import without_networks
from analysis.prose import findings, guide, networks
from analysis.prose.claims import explained
from analysis.table import archive as table
from analysis.table.archive import Archive
from tests.analysis.conftest import make_rows, network_row, write_networks

Build = Callable[..., Path]
LINES = [("net", "square", 3, None, ""), ("net", "depthwise", 2, None, ""), ("net", "volume", 1, 10**6, "3-D")]


@pytest.fixture
def net(build: Build) -> Archive:
    rows = [
        network_row("cudnn_autotuned", "square", 4.0),
        network_row("cudnn_gemm", "square", 2.0),
        network_row("cudnn_autotuned", "square", 0.5, numerics="tf32"),
        network_row("im2win_fused", "square", 1.8),
        network_row("im2win_tensor_core", "square", 1.0),
        network_row("cudnn_autotuned", "depthwise", 6.0),
        network_row("im2win_fused", "depthwise", 3.0),
        network_row("im2win_tensor_core", "depthwise", status="unsupported"),
    ]
    return table.read(write_networks(build([*make_rows(), *rows]), *LINES))


def test_three_sentences_on_a_network(net: Archive) -> None:
    said, outcomes = networks.findings(net)
    assert said == (
        "net (batch 64): the best mix of ours is 2.00x as fast as best cuDNN and 2.67x as fast as PyTorch as it comes, "
        "on 2 of its 3 layers. It is 0.500x as fast as cuDNN in TF32 and ours in strict FP32 alone is 1.58x as fast as "
        "best cuDNN. Most of the time of best cuDNN goes into layers of the kind depthwise (66.7 %), where the best "
        "mix of ours is 2.00x as fast."
    )
    assert outcomes == ("Of the networks, 7 of 8 points are ok; 1 unsupported (im2win, tensor cores (compensated)).")


def test_the_papers_findings_and_claims_stay(net: Archive, archive: Archive) -> None:
    left = without_networks(net)
    judged = explained(archive)
    assert explained(left).equals(judged)
    assert findings.findings(left, judged) == findings.findings(archive, judged)
    assert networks.findings(archive) == []
    assert guide.body(net).startswith(guide.body(archive))


def test_the_guide_for_a_network(net: Archive) -> None:
    (said,) = networks.guide(net)
    assert said.startswith("### For the network net, batch 64\n")
    assert "* With strict FP32: 11.4 ms on 2 layers, by im2win, fused on 2.\n" in said
    accurate = "by im2win, fused on 1 and im2win, tensor cores (compensated) on 1"
    assert f"* With FP32-accurate too: 9.00 ms on 2 layers, {accurate}.\n" in said
    assert "* With TF32 too: 7.50 ms on 2 layers, by cuDNN autotuned on 1 and im2win, fused on 1.\n" in said
    assert "* A single algorithm for all layers, strict_fp32: im2win, fused (11.4 ms).\n" in said
    assert (
        "| square | 3 | 1.80 im2win, fused | 1.00 im2win, tensor cores (compensated) | 0.500 cuDNN autotuned |" in said
    )
    assert "Without any result: 1 of 3 layers." in said


def test_nothing_to_compare(build: Build) -> None:
    archive = table.read(write_networks(build([network_row("cudnn_gemm", "square", 1.0)]), LINES[0]))
    said, _ = networks.findings(archive)
    assert said == "net (batch 64): on no layer have both ours and best cuDNN a result."
    broken = [network_row("cudnn_gemm", "square", status="failed", reason="no")]
    archive = table.read(write_networks(build(broken, name="broken"), LINES[0]))
    assert networks.guide(archive) == ["### For the network net, batch 64\n\nNo layer has a result.\n"]

"""The tables of the machine, the judged claims and the rows that are not ok."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.frames import inventory
from analysis.prose.claims import explained
from analysis.table import archive as table
from analysis.table.archive import Archive

Rows = list[dict[str, Any]]


def test_the_machine(archive: Archive) -> None:
    archive.provenance["environments"][0]["git"] = {"dirty": None, "files": ["a", "b"]}
    archive.provenance["ceilings"] = {"fp32_flops": 6e13}
    frame = inventory.machine(archive).frame.set_index("what")["value"]
    assert frame["device.name"] == "Test GPU 9000"
    assert frame["software.torch"] == "2.0"
    assert (frame["git.dirty"], frame["git.files"]) == ("not recorded", "a, b")
    assert frame["ceilings.fp32_flops"] == "60000000000000.0"
    archive.provenance.update(environments=[], ceilings={})
    assert "no environment" in inventory.machine(archive).markdown


def test_the_claims(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    path.write_text(explained(archive).to_csv(index=False))
    built = inventory.claims(path)
    (block,) = built.blocks
    assert "suite paper_table, batch 64, end_to_end, strict_fp32" in block.heading
    first = dict(zip(block.header, block.rows[0], strict=True))
    assert first["published"] == "3.50x"
    assert first["measured"] == "2.00x"
    assert (first["layers"], first["verdict"]) == ("12 of 12", "partly")
    assert dict(zip(block.header, block.rows[-1], strict=True))["measured"] == "rank 1"
    assert r"12 of 12 & partly \\" in built.latex("claims", "GPU")


def test_selections_without_a_testable_claim_are_only_listed(
    build: Callable[..., Path], make_rows: Callable[..., Rows], tmp_path: Path
) -> None:
    rows = [*make_rows(), *make_rows(["cudnn_gemm"], numerics="tf32")]
    path = tmp_path / "claims.csv"
    path.write_text(explained(table.read(build(rows))).to_csv(index=False))
    judged, untested = inventory.claims(path).blocks
    assert len(judged.rows) == 6
    assert [list(row) for row in untested.rows] == [["paper", "paper_table", 64, "end_to_end", "tf32"]]


def test_what_is_not_ok_is_told_once(build: Callable[..., Path], make_row: Callable[..., dict[str, Any]]) -> None:
    """One line for the layers, batches and protocols that are alike; of wrong results, whatever their errors are."""
    bad = [
        make_row("cudnn_fft", layer, status="unsupported", reason="no", batch=batch, protocol=protocol)
        for layer in ("conv1", "conv10", "conv2")
        for batch in (64, 128)
        for protocol in ("end_to_end", "kernel_only")
    ]
    bad += [
        make_row("cudnn_gemm", f"conv{index}", status="incorrect", reason=f"error 0.{index}", batch=batch)
        for index, batch in ((1, 64), (2, 64), (3, 128))
    ]
    built = inventory.outcome(table.read(build([make_row("im2win", "conv1"), *bad])))
    assert len(built.frame) == len(bad)
    (block,) = built.blocks
    told = [dict(zip(block.header, row, strict=True)) for row in block.rows]
    shown = {(line["algorithm"], line["reason"], line["layers"], line["batches"]) for line in told}
    assert shown == {
        ("cudnn_fft", "no", "conv1 conv2 conv10", "64 128"),
        ("cudnn_gemm", "conv1: error 0.1", "conv1 conv2", "64"),
        ("cudnn_gemm", "conv3: error 0.3", "conv3", "128"),
    }


def test_layers_with_padding_have_columns_for_it(archive: Archive) -> None:
    assert inventory.layers(archive).title == "Layers (no padding)"
    for point in archive.provenance["points"]:
        if point["layer"] == "conv2":
            point["config"]["layer"] |= {"padding": [[1, 0], [2, 2]], "stride": [2, 1]}
    built = inventory.layers(archive)
    assert built.title == "Layers"
    found = built.frame.set_index("layer")
    assert found.loc["conv2", ["stride", "padding"]].tolist() == ["2 x 1", "1+0 x 2"]
    assert found.loc["conv1", ["stride", "padding"]].tolist() == ["4", "0"]
    assert "groups" not in found

"""What the provenance adds to the report: ceilings, discarded samples, the constant part of memory."""

from analysis.frames import grids, paper
from analysis.prose import method
from analysis.table.archive import Archive

CONSTANT = "500 MiB of each is constant, the CUDA context"


def test_the_constant_part_of_memory(archive: Archive) -> None:
    archive.provenance["ceilings"] = {"context_bytes": 500 * 2**20}
    assert f"peak memory of the process; {CONSTANT}." in paper.memory(archive).caption
    assert f"peak memory of the process; {CONSTANT}" in grids.build(archive, frozenset())["memory"].markdown


def test_no_constant_where_none_was_measured_or_shown(archive: Archive) -> None:
    assert "constant" not in paper.memory(archive).caption
    archive.provenance["ceilings"] = {"context_bytes": 500 * 2**20}
    archive.measurements["process_peak_bytes"] = float("nan")
    assert "constant" not in paper.memory(archive).caption


def test_the_method_tells_ceilings_and_discarded_samples(archive: Archive) -> None:
    assert "discarded" not in method.method(archive)
    assert "Measured before any point" not in method.method(archive)
    archive.provenance["ceilings"] = {"fp32_flops": 65.3e12, "copy_bytes_per_s": 3e12, "tf32_flops": None}
    for index, point in enumerate(archive.provenance["points"]):
        lowered = {"power cap": 3} if index < 2 else {}
        discarded = [{"time_ms": 1.0}] if index == 5 else []
        point["run"]["protocols"] = {"end_to_end": {"lowered_for": lowered, "discarded": discarded}}
    said = method.method(archive)
    assert "1 sample was discarded because the device was slowed down; 2 of 192 series of samples ran into" in said
    assert "Measured before any point: copies 3.00 TB/s and FP32 multiply-adds 65.3 TFLOPS." in said
    archive.provenance["ceilings"]["measured"] = "2026-01-01T00:00:00Z"
    archive.provenance["points"][0]["run"]["started"] = "2026-01-01T00:00:01Z"
    assert "Measured before any point: copies" in method.method(archive)
    archive.provenance["points"][1]["run"]["started"] = "2025-12-31T00:00:00Z"
    assert "* Measured: copies 3.00 TB/s" in method.method(archive)

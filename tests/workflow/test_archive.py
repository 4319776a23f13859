"""Archiving: what an archive has, and what of the machine it has not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.table import archive as table
from analysis.table import merge
from analysis.table.companions import NETWORKS
from analysis.table.files import write_json
from analysis.table.schema import MANIFEST
from analysis.table.sizes import flops, tensor_bytes
from kernels.problem import ConvProblem
from tests.workflow.test_aggregate import SELECTION, document, store
from workflow import aggregate, archive
from workflow.experiment.archives import ARCHIVES
from workflow.experiment.catalog import Catalog
from workflow.experiment.sweep import Selection, Sweep
from workflow.jobs.results import CEILINGS

LOG = "points/tiny/tiny/strict_fp32/batch2/odd_window/cpu_torch/log.txt"


@pytest.fixture
def results(conf: Catalog, tmp_path: Path) -> Path:
    """Results of a program that named its log by an absolute path, and whose failure has a path in its reason."""
    folder, sweep = tmp_path / "results" / "cpu", Sweep(conf, SELECTION)
    good, bad = document(sweep, "cpu_torch"), document(sweep, "cpu_fft", "failed")
    good["run"]["log"] = f"/data/somebody/results/cpu/{LOG}"
    bad["rows"] = [
        row | {"reason": "OSError: '/data/somebody/lib.so' and ~/x/y: see https://a.org/b/c"} for row in bad["rows"]
    ]
    bad["run"]["log"] = f"results/cpu/{LOG}"
    store(folder, sweep, "cpu_torch", good)
    store(folder, sweep, "cpu_fft", bad)
    write_json(folder / CEILINGS, {"copy_bytes_per_s": 1e12, "fp32_flops": 1e13})
    assert aggregate.main(["--selection", SELECTION.to_json(), "--folder", str(folder)]) == 0
    return folder


def measured_by_every_gpu(results: Path, conf: Catalog, selection: Selection) -> None:
    """Add the times of anchors to a results table, as on a host with several GPUs."""
    sweep = Sweep(conf, selection)
    for gpu in ("GPU-1", "GPU-2"):
        store(results / "gpus" / gpu, sweep, "cpu_torch", document(sweep, "cpu_torch"))
    anchors = aggregate.collect_anchors(sweep, results, ["GPU-1", "GPU-2"])
    assert len(anchors) >= 2
    provenance = json.loads((results / table.PROVENANCE).read_text())
    write_json(results / table.PROVENANCE, provenance | {"anchors": anchors})


def command(results: Path, *options: str) -> list[str]:
    return [*(options or ("--folder", str(results))), "--archives", str(results.parents[1] / "archives")]


def test_an_archive_has_a_manifest_and_no_path_of_the_machine(results: Path) -> None:
    assert archive.main(command(results)) == 0
    folder = results.parents[1] / "archives/cpu"
    assert sorted(json.loads((folder / MANIFEST).read_text())["files"]) == [
        "measurements.csv",
        "provenance.json",
        "samples.csv.gz",
    ]
    found = table.read(folder)
    assert {point["run"]["log"] for point in found.provenance["points"]} == {LOG}
    assert set(found.measurements["reason"]) == {"", "OSError: 'lib.so' and y: see https://a.org/b/c"}
    assert "somebody" not in (folder / table.PROVENANCE).read_text()


def test_a_table_without_paths_is_copied_as_it_is(results: Path) -> None:
    assert archive.main(command(results)) == 0
    folder = results.parents[1] / "archives/cpu"
    again = results.parents[1] / "again"
    assert archive.main(["--folder", str(folder), "--archives", str(again)]) == 0
    for file in folder.iterdir():
        assert (again / "cpu" / file.name).read_bytes() == file.read_bytes()


def test_an_archive_that_goes_on_gets_another_manifest(results: Path) -> None:
    assert archive.main(command(results)) == 0
    folder = results.parents[1] / "archives/cpu"
    before = (folder / MANIFEST).read_text()
    provenance = json.loads((results / table.PROVENANCE).read_text())
    provenance["points"][0]["run"]["seed"] = 7
    write_json(results / table.PROVENANCE, provenance)
    assert archive.main(command(results)) == 0
    assert (folder / MANIFEST).read_text() != before
    assert table.read(folder).provenance["points"][0]["run"]["seed"] == 7


def test_an_archive_keeps_what_it_has_of_other_experiments(
    results: Path, conf: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    """Networks are measured by one run, the paper's layers by another, each perhaps on a machine of its own."""
    first = results.parents[1] / "archives/cpu"
    (results / NETWORKS).write_text("suite,layer,count,flops,unsupported,source\ntiny,odd_window,2,10,,somewhere\n")
    measured_by_every_gpu(results, conf, SELECTION)
    assert archive.main(command(results)) == 0
    before = table.read(first)
    other = Selection("paper_cpu", {"suite": ["tiny"], **SELECTION.axes})
    folder, sweep = results.parent / "other", Sweep(conf, other)
    elsewhere = {"environment": {"device": {"name": "A processor"}, "host": "another"}}
    store(folder, sweep, "cpu_torch", document(sweep, "cpu_torch") | elsewhere)
    store(folder, sweep, "cpu_fft", document(sweep, "cpu_fft", "failed") | elsewhere)
    write_json(folder / CEILINGS, {"copy_bytes_per_s": 2e12, "fp32_flops": 1e13})
    assert aggregate.main(["--selection", other.to_json(), "--folder", str(folder)]) == 0
    provenance = json.loads((folder / table.PROVENANCE).read_text())
    write_json(folder / table.PROVENANCE, provenance | {"device": before.provenance["device"]})
    measured_by_every_gpu(folder, conf, other)
    capsys.readouterr()
    for _ in range(2):  # the second time it replaces what is there
        assert archive.main(["--folder", str(folder), "--archives", str(first.parent)]) == 0
        assert capsys.readouterr().out.endswith("beside what is there of tiny\n")
        after = table.read(first)
        assert merge.experiments(after) == ["paper_cpu", "tiny"]
        assert len(after.measurements) == len(before.measurements) + len(table.read(folder).measurements)
        assert len(after.samples()) == len(before.samples()) + len(table.read(folder).samples())
        for one in before.provenance["points"]:
            found = after.points()[tuple(one[column] for column in table.POINT_KEY)]
            environments = [each.provenance["environments"] for each in (before, after)]
            assert environments[0][one["environment"]] == environments[1][found["environment"]]
            assert {**found, "environment": 0} == {**one, "environment": 0}
        assert after.provenance["ceilings"]["copy_bytes_per_s"] == 2e12
        assert (first / NETWORKS).read_text() == (results / NETWORKS).read_text()
        assert after.provenance["anchors"] == table.read(folder).provenance["anchors"] + before.provenance["anchors"]


def test_a_manifest_is_written_of_what_holds_alone(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert archive.main(command(results)) == 0
    folder = results.parents[1] / "archives/cpu"
    (folder / "notes.txt").write_text("a note")
    with pytest.raises(table.ArchiveError, match="does not list"):
        table.read(folder)
    assert archive.main(command(results, "--manifest", "cpu")) == 0
    assert "notes.txt" in (folder / MANIFEST).read_text()
    table.read(folder)
    kept = (folder / MANIFEST).read_text()
    text = (folder / table.MEASUREMENTS).read_text()
    (folder / table.MEASUREMENTS).write_text(text.replace(",1.0,", ",1.5,", 1))
    assert archive.main(command(results, "--manifest", str(folder))) == 1
    assert "but the median of its 2 samples" in capsys.readouterr().err
    assert (folder / MANIFEST).read_text() == kept


def test_an_archive_is_copied_byte_for_byte(tmp_path: Path) -> None:
    """What is no number stays so: NaN is an outcome, and this one has some."""
    name = "nvidia-h100-80gb-hbm3"
    assert archive.main(["--folder", str(ARCHIVES / name), "--archives", str(tmp_path)]) == 0
    (copy,) = tmp_path.iterdir()
    for file in (ARCHIVES / name).iterdir():
        assert (copy / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("name", sorted(path.name for path in ARCHIVES.iterdir()))
def test_no_archive_names_a_path_of_its_machine(name: str) -> None:
    for file in (ARCHIVES / name).iterdir():
        if file.name == table.PROVENANCE:
            found: dict[str, Any] = json.loads(file.read_text())
            assert archive.without_paths(found) == found
        elif file.name != table.SAMPLES:
            assert archive.without_paths(file.read_text()) == file.read_text()


def test_reading_and_measuring_count_the_same_work(conf: Catalog) -> None:
    for layer in conf.groups["layer"].values():
        problem = ConvProblem.from_layer(layer, 3)
        assert 3 * flops(layer) == problem.flops
        assert tensor_bytes(layer, 3) == problem.tensor_bytes

"""Going on from an archive: its points' results come back as they were, and only what is missing is measured."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from analysis.table import archive as table
from analysis.table.companions import MODEL_COLUMNS, MODELS
from analysis.table.files import write_json
from analysis.table.schema import COLUMNS, KEY, KINDS, MANIFEST, POINT_KEY, text_of
from tests.workflow.conftest import ROOT, Checkout
from tests.workflow.jobs.test_rerun import CPU, POINTS, TINY
from tests.workflow.test_aggregate import SELECTION, document, store
from workflow import aggregate, archive
from workflow.experiment.archives import ARCHIVES
from workflow.experiment.catalog import Catalog
from workflow.experiment.points import Point
from workflow.experiment.sweep import Selection, Sweep
from workflow.jobs import models
from workflow.jobs.results import CEILINGS, brief, holds
from workflow.restore import find, main, model_documents, restore

ARCHIVED = sorted(path.name for path in ARCHIVES.iterdir())
ENDS_WITH_A_KILL = """
import os, signal, sys
from workflow import restore
from analysis.table.files import write_json

def write_one(path, content):
    write_json(path, content)
    os.kill(os.getpid(), signal.SIGKILL)

restore.write_json = write_one
restore.main(sys.argv[1:])
"""


def unpacked(folder: Path) -> str:
    return gzip.decompress((folder / table.SAMPLES).read_bytes()).decode()


def cells(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def provenance_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / table.PROVENANCE).read_text()))


def points_of(provenance: dict[str, Any], experiment: str) -> list[dict[str, Any]]:
    """The points of an experiment, each with its environment."""
    environments = provenance["environments"]
    points = [point for point in provenance["points"] if point["experiment"] == experiment]
    return [point | {"environment": environments[point["environment"]]} for point in points]


def sweep_of(provenance: dict[str, Any], experiment: str) -> Sweep:
    """The sweep that an archive is of, whatever conf/ says by now."""
    known = points_of(provenance, experiment)
    points = [Point(**{field: point[field] for field in Point._fields}) for point in known]
    sweep = SimpleNamespace(
        experiment={"name": experiment, "models": []},
        selection=SimpleNamespace(axes={}),
        points={point.path: point for point in points},
        protocols={entry["name"]: entry for point in known for entry in point["config"]["protocols"]},
        device=provenance["device"],
        resolve=lambda point, stored: stored,
    )
    return cast(Sweep, sweep)


@pytest.mark.parametrize("name", ARCHIVED)
def test_every_archive_there_is(name: str, tmp_path: Path) -> None:
    source = ARCHIVES / name
    provenance = provenance_of(source)
    folder = restore(find(name), tmp_path)
    assert folder == tmp_path / provenance["device"]["slug"]
    assert json.loads((folder / CEILINGS).read_text()) == provenance["ceilings"]

    measured: dict[tuple[str, ...], dict[str, dict[str, str]]] = {}
    for row in cells((source / table.MEASUREMENTS).read_text()):
        measured.setdefault(tuple(row[column] for column in POINT_KEY), {})[row["protocol"]] = row
    times: dict[tuple[str, ...], list[float]] = {}
    for row in cells(unpacked(source)):
        times.setdefault(tuple(row[column] for column in KEY), []).append(float(row["time_ms"]))
    assert len(list(folder.rglob("result.json"))) == len(measured) == len(provenance["points"])
    for point in provenance["points"]:
        where = Point(**{field: point[field] for field in Point._fields}).path
        stored = json.loads((folder / "points" / point["experiment"] / where / "result.json").read_text())
        rows = measured[tuple(str(point[column]) for column in POINT_KEY)]
        assert stored["point"] == point["config"]
        assert stored["environment"] == provenance["environments"][point["environment"]]
        assert all(stored[field] == point[field] for field in ("status", "attempt", "run"))
        assert {stored["reason"]} == {row["reason"] for row in rows.values()}
        assert [row["protocol"] for row in stored["rows"]] == [entry["name"] for entry in point["config"]["protocols"]]
        for row in stored["rows"]:
            assert tuple(row) == COLUMNS
            assert {column: text_of(row[column], column, KINDS[column]) for column in COLUMNS} == rows[row["protocol"]]
            kinds = {"text": str, "integer": int, "number": float}
            assert all(row[column] is None or type(row[column]) is kinds[KINDS[column]] for column in COLUMNS)
            key = tuple(str(row[column]) for column in KEY)
            assert stored["samples"].get(row["protocol"], []) == times.get(key, [])

    for experiment in dict.fromkeys(point["experiment"] for point in provenance["points"]):
        again = tmp_path / experiment
        table.write(again, *aggregate.collect(sweep_of(provenance, experiment), folder))
        for read in (lambda of: (of / table.MEASUREMENTS).read_text(), unpacked):
            lines = [line for line in cells(read(source)) if line["experiment"] == experiment]
            assert cells(read(again)) == lines
        # The GPUs of a host measure its anchors anew, and these sweeps have no whole networks.
        found = provenance_of(again)
        assert {"anchors", "models"} & set(found) == set()
        assert points_of(found, experiment) == points_of(provenance, experiment)
        assert all(found[one] == provenance[one] for one in ("device", "ceilings"))


@pytest.mark.parametrize("name", ARCHIVED)
def test_whole_networks_come_back(name: str, tmp_path: Path) -> None:
    source = ARCHIVES / name
    for path, job in model_documents(find(name)):
        write_json(tmp_path / path, job)
    jobs = [json.loads(path.read_text()) for path in tmp_path.rglob("run-1.json")]
    assert all(models.kept(job, job["identity"]) == job["rows"] for job in jobs)
    text = io.StringIO()
    for job in jobs:
        rows = [one["row"] | {"source_hash": job["identity"]["source_hash"]} for one in job["rows"]]
        csv.DictWriter(text, MODEL_COLUMNS).writerows(rows)
    lines = (source / MODELS).read_text().splitlines()[1:] if (source / MODELS).exists() else []
    assert sorted(text.getvalue().splitlines()) == sorted(lines)
    assert bool(lines) == ("models" in provenance_of(source))


@pytest.fixture
def sweep(conf: Catalog) -> Sweep:
    return Sweep(conf, SELECTION)


@pytest.fixture
def results(sweep: Sweep, tmp_path: Path) -> Path:
    """A device's folder: one result that is ok, one of a process that died at its second attempt; and their table."""
    folder = tmp_path / "results" / "cpu"
    store(folder, sweep, "cpu_torch", document(sweep, "cpu_torch"))
    store(folder, sweep, "cpu_fft", document(sweep, "cpu_fft", "failed", device=None) | {"attempt": 2})
    write_json(folder / CEILINGS, {"copy_bytes_per_s": 1e12, "fp32_flops": 1e13})
    assert aggregate.main(["--selection", SELECTION.to_json(), "--folder", str(folder)]) == 0
    return folder


@pytest.fixture
def archives(results: Path, tmp_path: Path) -> Path:
    assert archive.main(["--folder", str(results), "--archives", str(tmp_path / "archives")]) == 0
    return tmp_path / "archives"


def command(archives: Path, where: Path, name: str = "cpu") -> list[str]:
    return ["--archive", name, "--results", str(where), "--archives", str(archives)]


def stored_in(folder: Path) -> dict[str, str]:
    """Every JSON file of points, and the ceilings; as text, so that 1 is not 1.0."""
    files = [folder / CEILINGS, *folder.rglob("result.json")]
    return {
        str(file.relative_to(folder)): json.dumps(json.loads(file.read_text()), sort_keys=True, indent=1)
        for file in files
    }


def test_results_come_back_as_they_were(results: Path, archives: Path, tmp_path: Path) -> None:
    assert main(command(archives, tmp_path / "new")) == 0
    assert stored_in(tmp_path / "new/cpu") == stored_in(results)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [".lock", "cpu"]


def test_a_folder_of_results_is_an_archive_too(results: Path, tmp_path: Path) -> None:
    assert main(command(tmp_path / "archives", tmp_path / "new", str(results))) == 0
    assert stored_in(tmp_path / "new/cpu") == stored_in(results)


def test_a_table_of_one_protocol_is_a_result_of_that_one(
    conf: Catalog, sweep: Sweep, results: Path, tmp_path: Path
) -> None:
    """The table has no samples of the others, so they are measured where they are asked for."""
    narrow = Selection("tiny", {**SELECTION.axes, "protocol": ["kernel_only"]})
    assert aggregate.main(["--selection", narrow.to_json(), "--folder", str(results)]) == 0
    folder = restore(table.read(results), tmp_path / "new")
    rows, samples, _ = aggregate.collect(Sweep(conf, narrow), folder)
    assert {row["protocol"] for row in rows} == {sample["protocol"] for sample in samples} == {"kernel_only"}
    point = next(point for point in sweep.points.values() if point.algorithm == "cpu_torch")
    known = brief(json.loads((folder / "points/tiny" / point.path / "result.json").read_text()))
    assert holds(known, Sweep(conf, narrow), point)
    assert not holds(known, sweep, point)


def test_results_are_never_overwritten(
    results: Path, archives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    assert main(command(archives, results.parent)) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {results} has results already")
    assert "--results DIR" in said and "delete it" in said
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("name", "named"), [("cpuu", ["unknown archive 'cpuu'", "did you mean cpu?"]), ("all", ["all names 2 archives"])]
)
def test_no_such_archive(
    name: str, named: list[str], archives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(archives / "cpu", archives / "another")
    assert main(command(archives, tmp_path / "new", name)) == 1
    said = capsys.readouterr().err
    for text in ["error: ", *named]:
        assert text in said
    assert not (tmp_path / "new").exists()


def without(key: str) -> Any:
    def change(provenance: dict[str, Any]) -> None:
        del provenance["points"][1][key]

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (without("config"), "cpu_fft: missing config"),
        (without("environment"), "environment: None is not the index"),
        (lambda provenance: provenance["points"].pop(), f"cpu_fft: missing, but {table.MEASUREMENTS} has it"),
        (lambda provenance: provenance["points"][0].update(status="incorrect"), "cpu_torch: its status or protocols"),
        (lambda provenance: provenance["points"][0]["config"]["protocols"].pop(), "cpu_torch: its status or protocols"),
        (None, "samples of tiny"),
    ],
)
def test_a_damaged_archive(
    change: Any, named: str, archives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (archives / "cpu" / MANIFEST).unlink()  # the manifest would tell that the file has changed, and no more
    if change is None:
        table.write_samples([], archives / "cpu" / table.SAMPLES)
    else:
        provenance = provenance_of(archives / "cpu")
        change(provenance)
        write_json(archives / "cpu" / table.PROVENANCE, provenance)
    assert main(command(archives, tmp_path / "new")) == 1
    assert named in capsys.readouterr().err
    assert list((tmp_path / "new").glob("[!.]*")) == []


def test_killed_half_way(results: Path, archives: Path, tmp_path: Path) -> None:
    """There is nothing that looks like results, and the next call writes all of them."""
    arguments = command(archives, tmp_path / "new")
    killed = subprocess.run([sys.executable, "-c", ENDS_WITH_A_KILL, *arguments], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [".lock", ".restoring-cpu"]
    assert main(arguments) == 0
    assert stored_in(tmp_path / "new/cpu") == stored_in(results)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [".lock", "cpu"]


def test_another_run_is_at_work(archives: Path, tmp_path: Path) -> None:
    held = (
        f"from workflow.session.lock import hold; hold({str(tmp_path / 'new')!r}); from workflow.restore import main; "
    )
    result = subprocess.run(
        [sys.executable, "-c", f"{held}main({command(archives, tmp_path / 'new')!r})"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "error: another run is at work" in result.stderr
    assert not (tmp_path / "new/cpu").exists()


def test_a_run_goes_on_from_an_archive(checkout: Checkout) -> None:
    checkout.outcomes(cpu_direct="unsupported")
    checkout.ran(*TINY)
    assert len(checkout.taken()) == len(CPU)
    assert checkout.taken("ceilings.log") == ["cpu cpu"]
    first, second = checkout.folder / "results/cpu", checkout.folder / "2026_11_25/cpu"
    assert archive.main(["--folder", str(first), "--archives", str(checkout.folder / "archives")]) == 0
    arguments = command(checkout.folder / "archives", Path("2026_11_25"))
    program = [sys.executable, "-m", "workflow.restore", *arguments]
    said = subprocess.run(program, cwd=checkout.folder, check=True, capture_output=True, text=True).stdout

    # The run that it names, of the experiment that was measured, and only the table.
    named = said.partition("go on from there: snakemake ")[2].split()
    assert named == ["--config", "results=2026_11_25"]
    again = ("2026_11_25/cpu/measurements.csv", *named, *TINY[2:])
    checkout.ran(*again)
    assert checkout.taken() == checkout.taken("ceilings.log") == []
    assert (second / table.MEASUREMENTS).read_bytes() == (first / table.MEASUREMENTS).read_bytes()
    assert unpacked(second) == unpacked(first)
    assert provenance_of(second) == provenance_of(first)

    # What is missing is measured, what failed and what has other sources; and all of it is one table.
    points = second / Path(POINTS).relative_to("results/cpu") / "odd_window"
    (points / "cpu_torch/result.json").unlink()
    stored = json.loads((points / "cpu_fft/result.json").read_text())
    write_json(points / "cpu_fft/result.json", stored | {"status": "failed"})
    stored = json.loads((points / "cpu_im2win/result.json").read_text())
    rows = [row | {"source_hash": "0" * 16} for row in stored["rows"]]
    write_json(points / "cpu_im2win/result.json", stored | {"rows": rows})
    checkout.ran(*again)
    assert checkout.taken() == ["odd_window/cpu_fft 2", "odd_window/cpu_im2win 1", "odd_window/cpu_torch 1"]
    assert set(table.read(second).measurements["algorithm"]) == set(CPU)

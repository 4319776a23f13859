"""An archive vouches for itself: whatever is changed of it by hand is named, by every program that reads it."""

import gzip
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis import figures, readme, verify
from analysis.table import archive as table
from analysis.table import cli
from analysis.table.archive import ArchiveError, read
from analysis.table.manifest import write_manifest
from analysis.table.schema import MANIFEST, MEASUREMENTS, PROVENANCE, SAMPLES

ROOT = Path(__file__).resolve().parents[2]
ROW = "paper/paper_table/end_to_end/strict_fp32/64"
Damage = Callable[[Path], object]


def run(monkeypatch: pytest.MonkeyPatch, program: Callable[[], None], *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["program", *(str(one) for one in arguments)])
    try:
        cli.run(program)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture
def folder(build: Callable[..., Path], make_rows: Callable[..., Any]) -> Path:
    """An archive of two algorithms; the first row is that of direct on conv1, at 0.05 TFLOPS."""
    made = build(make_rows(["direct", "im2win"], spread=0.01), name="archived")
    write_manifest(made)
    return made


def in_lines(name: str, change: Callable[[list[str]], list[str]]) -> Damage:
    """Change the lines of a file, unpacked if it is packed."""

    def damage(folder: Path) -> None:
        packed = (folder / name).read_bytes()
        text = (gzip.decompress(packed) if name == SAMPLES else packed).decode()
        changed = "\n".join([*change(text.splitlines()), ""]).encode()
        (folder / name).write_bytes(gzip.compress(changed) if name == SAMPLES else changed)

    return damage


def replaced(old: str, new: str) -> Callable[[list[str]], list[str]]:
    def change(lines: list[str]) -> list[str]:
        assert any(old in line for line in lines)
        at = next(index for index, line in enumerate(lines) if old in line)
        return [*lines[:at], lines[at].replace(old, new, 1), *lines[at + 1 :]]

    return change


def swapped(lines: list[str]) -> list[str]:
    """The values of the first two rows change places; their keys and the rest stay."""
    one, two = (line.split(",") for line in lines[1:3])
    return [lines[0], ",".join(one[:7] + two[7:]), ",".join(two[:7] + one[7:]), *lines[3:]]


def dropped_everywhere(folder: Path) -> None:
    for name in (MEASUREMENTS, SAMPLES):
        in_lines(name, lambda lines: [line for line in lines if ",conv1,direct," not in line])(folder)


def another_run(folder: Path) -> None:
    provenance = json.loads((folder / PROVENANCE).read_text())
    for point in provenance["points"]:
        point["run"]["seed"] = 2
    table.write_provenance(provenance, folder / PROVENANCE)


def another_gpu(folder: Path) -> None:
    provenance = json.loads((folder / PROVENANCE).read_text())
    provenance["environments"][0]["device"]["name"] = "Test GPU 1"
    table.write_provenance(provenance, folder / PROVENANCE)


def spreadsheet(folder: Path) -> None:
    text = (folder / MEASUREMENTS).read_text()
    (folder / MEASUREMENTS).write_text("\ufeff" + text.replace(",", ";"))


DAMAGES: dict[str, tuple[Damage, str]] = {
    "a number changed": (
        in_lines(MEASUREMENTS, replaced(",0.05,", ",140.0,")),
        rf"{MEASUREMENTS}: {ROW}/conv1/direct: tflops is 140, but its FLOPs over time_ms are 0.05\d*; restore it",
    ),
    "the time changed": (
        in_lines(MEASUREMENTS, replaced(",269.862912,", ",200.0,")),
        rf"{ROW}/conv1/direct: time_ms is 200, but the median of its 3 samples in {SAMPLES} is 269.862912 \(and 1 more",
    ),
    "the bytes changed": (
        in_lines(MEASUREMENTS, replaced(",114056064,", ",114056065,")),
        rf"{ROW}/conv1/direct: tensor_bytes is 114056065, but its sizes in {PROVENANCE} give 114056064",
    ),
    "a sample changed": (
        in_lines(SAMPLES, replaced(",1,269.862912", ",1,268.5")),
        rf"{ROW}/conv1/direct: time_ms is 269.862912, but the median of its 3 samples in {SAMPLES} is 268.5",
    ),
    "a sample doubled": (
        in_lines(SAMPLES, replaced(",1,269.862912", ",0,269.862912")),
        rf"{SAMPLES}: the samples of {ROW}/conv1/direct are not numbered from 0 on, each once",
    ),
    "a row dropped": (
        in_lines(MEASUREMENTS, lambda lines: [lines[0], *lines[2:]]),
        rf"{PROVENANCE}: paper/.*/conv1/direct: its status or protocols .* are not those of {MEASUREMENTS} \(no row\)",
    ),
    "a row dropped everywhere": (
        dropped_everywhere,
        r"conv1/direct: its status or protocols",
    ),
    "a row doubled": (
        in_lines(MEASUREMENTS, lambda lines: [*lines[:2], *lines[1:]]),
        rf"{MEASUREMENTS}: line 3: the same point as line 2, {ROW}/conv1/direct",
    ),
    "two rows swapped": (
        in_lines(MEASUREMENTS, swapped),
        rf"{ROW}/conv1/direct: time_ms is [\d.]+, but the median of its 3 samples in {SAMPLES} is 269.862912",
    ),
    "the provenance of another run": (another_run, rf"{PROVENANCE}: its SHA-256 is .*, but {MANIFEST} says"),
    "the provenance of another GPU": (another_gpu, "is of Test GPU 1, but the device is Test GPU 9000"),
    "a truncated gzip": (
        lambda folder: (folder / SAMPLES).write_bytes((folder / SAMPLES).read_bytes()[:-9]),
        f"{SAMPLES}: cut short or not gzip",
    ),
    "a byte order mark": (
        in_lines(MEASUREMENTS, lambda lines: ["\ufeff" + lines[0], *lines[1:]]),
        rf"{MEASUREMENTS}: it begins with a byte order mark \(BOM\), as where a spreadsheet has saved it",
    ),
    "a spreadsheet": (spreadsheet, r"\(BOM\), and semicolons stand between its columns instead of commas"),
    "a file added": (
        lambda folder: (folder / "notes.txt").write_text("a note"),
        rf"notes.txt: {MANIFEST} does not list the file; .*python -m workflow.archive --manifest",
    ),
    "a file removed": (
        lambda folder: (folder / "beside.csv").unlink(),
        rf"beside.csv: the file is missing, but {MANIFEST} lists it",
    ),
    "what follows from nothing": (
        in_lines(MEASUREMENTS, replaced(",1e-07,", ",1e-09,")),
        rf"{MEASUREMENTS}: its SHA-256 is .*, but {MANIFEST} says",
    ),
    "a damaged manifest": (
        lambda folder: (folder / MANIFEST).write_text("{}"),
        rf"{MANIFEST}: cut short or no manifest",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_and_nothing_is_drawn(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, message = DAMAGES[name]
    (folder / "beside.csv").write_text("a table beside\n")
    write_manifest(folder)
    assert run(monkeypatch, verify.main, folder) == 0
    assert "24 points, 24 rows and 72 samples hold; 4 files as in manifest.json" in capsys.readouterr().out
    damage(folder)
    with pytest.raises(ArchiveError, match=message):
        read(folder)
    assert run(monkeypatch, verify.main, folder) == 1
    said = capsys.readouterr().out
    assert "DOES NOT HOLD" in said
    assert said.count("\n") == 1
    assert run(monkeypatch, figures.main, "--table", folder, "--output", tmp_path / "drawn") == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "drawn").exists()


def test_without_a_manifest_the_rest_is_checked(folder: Path) -> None:
    """As of the results of a run."""
    (folder / MANIFEST).unlink()
    read(folder)
    in_lines(MEASUREMENTS, replaced(",0.05,", ",0.06,"))(folder)
    with pytest.raises(ArchiveError, match=r"tflops is 0.06, but"):
        read(folder)


def test_every_archive_there_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, verify.main) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len([path for path in cli.ARCHIVES.iterdir() if path.is_dir()])
    pages = ", ".join(page.name for page in readme.PAGES)
    assert [line for line in lines if f"generated parts of {pages}" in line]


def test_an_archive_that_is_kept_must_have_a_manifest(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (verify, cli):
        monkeypatch.setattr(module, "ARCHIVES", folder.parent)
    assert run(monkeypatch, verify.main) == 0
    (folder / MANIFEST).unlink()
    assert run(monkeypatch, verify.main) == 1
    assert "manifest.json: the file is missing; restore the archive" in capsys.readouterr().out


def test_a_number_of_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for page in readme.PAGES:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / page, tmp_path / page)
    text = (tmp_path / "README.md").read_text()
    name = readme.shown_archive(text)
    answer = re.search(r"on (\d+) of 12 layers \| (\S+)x \| \[results\]", text)
    assert answer
    (tmp_path / "README.md").write_text(text[: answer.start(2)] + "140" + text[answer.end(2) :])
    assert run(monkeypatch, verify.main, name, "--root", tmp_path) == 1
    said = capsys.readouterr().out
    assert "README.md: it says ... 12 layers | 140x | [results](docs/results.md#speed)" in said
    assert f"but the archive {name} gives ... 12 layers | {answer[2]}x | [results]" in said
    assert "run make readme" in said

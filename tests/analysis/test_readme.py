"""The pages: their numbers and figures are those of the archive, their links lead somewhere, the README is short."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from analysis import readme
from analysis.table.archive import read
from analysis.table.errors import ArchiveError
from tests.analysis.conftest import make_rows, network_row, write_networks, write_table

ROOT = Path(__file__).parents[2]
ARCHIVE = ROOT / "analysis" / "archive" / "nvidia-h100-80gb-hbm3"
DRAWN = ROOT / "docs" / "figures"


@pytest.mark.parametrize("page", readme.PAGES, ids=str)
def test_pages_have_the_numbers_of_the_archive(page: Path) -> None:
    text = (ROOT / page).read_text()
    assert readme.replaced(text, readme.PAGES[page](read(ARCHIVE)), page) == text, "run make readme"


def test_the_page_on_tensor_cores_finds_its_figure() -> None:
    assert f"](figures/{ARCHIVE.name}/error_growth.svg)" in readme.tensor_cores(read(ARCHIVE))


def test_readme_shows_the_figures_of_the_archive(tmp_path: Path) -> None:
    pinned = f"matplotlib=={version('matplotlib')}"
    if pinned not in (ROOT / "requirements.lock").read_text().splitlines():
        pytest.skip("the figures are drawn by the pinned matplotlib, and this is another")
    readme.draw(read(ARCHIVE), tmp_path)
    drawn = {file.relative_to(tmp_path): file for file in tmp_path.rglob("*.svg")}
    assert {file.stem for file in drawn} == {*readme.drawn(read(ARCHIVE)), "overview_dark"}
    assert set(drawn) == {file.relative_to(DRAWN) for file in DRAWN.rglob("*.svg")}
    for name, file in drawn.items():
        assert file.read_bytes() == (DRAWN / name).read_bytes(), "run make readme"


def test_the_readme_is_short_and_mostly_written_by_hand() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    generated = lines[lines.index(readme.BEGIN) : lines.index(readme.END)]
    assert len(lines) <= 150
    assert len(" ".join(generated)) <= len(" ".join(lines)) / 3


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    def anchors(text: str) -> set[str]:
        titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

    for target in re.findall(r'(?:\]\(|src="|srcset=")([^)"\s]+)', page.read_text()):
        if not target.startswith("http"):
            path, _, anchor = target.partition("#")
            there = page.parent / path if path else page
            assert there.exists(), target
            assert not anchor or anchor in anchors(there.read_text()), target


def test_the_index_has_every_page() -> None:
    listed = set(re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs/README.md").read_text()))
    assert listed == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_networks_are_shown_where_an_archive_has_them(tmp_path: Path) -> None:
    rows = [network_row("cudnn_autotuned", "square", 2.0), network_row("im2win_fused", "square", 1.0)]
    layers = make_rows(["im2win", "cudnn_gemm"])
    without, both = (
        read(write_table(tmp_path / name, given)) for name, given in (("a/a", layers), ("b", layers + rows))
    )
    write_networks(both.folder, ("net", "square", 2, None, ""))
    assert set(readme.drawn(both)) - set(readme.drawn(without)) == {"networks", "network_time"}
    text = readme.of_networks(both)
    assert "| net | 64 | 1 of 1 |" in text
    assert f"![networks](figures/{both.folder.name}/networks.svg)" in text
    assert readme.of_networks(without) == "No network was measured on Test GPU 9000 so far.\n"
    asked, answer = "| Are ours over all convolutions of a network? | on 1 of 1 network", " | 2.00x | [networks]("
    assert f"{asked}{answer}" in readme.front(both)
    assert "network" not in readme.front(without)
    alone = read(write_networks(write_table(tmp_path / "c", rows), ("net", "square", 2, None, "")))
    assert f"{asked}{answer}" in readme.front(alone)
    assert "## Speed" in readme.results(both) and "## Speed" not in readme.results(alone)
    said = "### All convolutions of whole networks, the best mix of ours against the best cuDNN in strict FP32"
    assert said in readme.reviewed(alone) and said not in readme.reviewed(without)
    assert "snakemake --config experiment=networks suite=net" in readme.reviewed(alone)
    assert "* Expected: 2.00x on net, batch 64." in readme.reviewed(alone)


def test_networks_of_another_archive_are_shown_where_this_one_has_none(tmp_path: Path) -> None:
    shown = read(write_table(tmp_path / "b", make_rows(["im2win", "cudnn_gemm"])))
    rows = [network_row("cudnn_autotuned", "square", 2.0), network_row("im2win_fused", "square", 1.0)]
    write_networks(write_table(tmp_path / "a", rows), ("net", "square", 2, None, ""))
    assert {one.folder.name for one in readme.drawn(shown).values()} == {"a", "b"}
    assert "![networks](figures/a/networks.svg)" in readme.of_networks(shown)
    assert "on 1 of 1 network (Test GPU 9000) | 2.00x | [networks](" in readme.front(shown)
    assert "* Expected on Test GPU 9000: 2.00x on net, batch 64." in readme.reviewed(shown)


@pytest.mark.parametrize("text", ["no marks", readme.BEGIN, readme.END + readme.BEGIN, readme.BEGIN * 2 + readme.END])
def test_marks_must_stand_once_each(text: str) -> None:
    with pytest.raises(ArchiveError, match="once each"):
        readme.replaced(text, "new", Path("README.md"))


def test_what_stands_around_the_marks_stays() -> None:
    text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    assert readme.replaced(text, "new", Path("README.md")) == f"before\n{readme.BEGIN}\n\nnew\n{readme.END}\nafter\n"

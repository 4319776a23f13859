"""The README's numbers and figures are those of the archive."""

from importlib.metadata import version
from pathlib import Path

import pytest

from analysis import readme
from analysis.table.archive import read
from analysis.table.errors import ArchiveError

ROOT = Path(__file__).parents[2]
ARCHIVE = ROOT / "analysis" / "archive" / "nvidia-h100-80gb-hbm3"
DRAWN = ROOT / "docs" / "figures" / ARCHIVE.name


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
    wanted = readme.drawn(read(ARCHIVE))
    for name in wanted:
        assert (tmp_path / f"{name}.svg").read_bytes() == (DRAWN / f"{name}.svg").read_bytes(), "run make readme"
    assert {path.stem for path in DRAWN.iterdir()} == set(wanted)


@pytest.mark.parametrize("text", ["no marks", readme.BEGIN, readme.END + readme.BEGIN, readme.BEGIN * 2 + readme.END])
def test_marks_must_stand_once_each(text: str) -> None:
    with pytest.raises(ArchiveError, match="once each"):
        readme.replaced(text, "new", Path("README.md"))


def test_what_stands_around_the_marks_stays() -> None:
    text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    assert readme.replaced(text, "new", Path("README.md")) == f"before\n{readme.BEGIN}\n\nnew\n{readme.END}\nafter\n"

"""The HTML report: complete in itself, and shown without complaints by a real browser."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from analysis import figures, report
from analysis.numbers import staleness
from analysis.prose import claims
from analysis.table import archive as table
from analysis.writing.html import render
from analysis.writing.markup import Section

Rows = list[dict[str, Any]]
VOID = {"meta", "link", "br", "img", "input", "hr", "source"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """What a page holds: ids, what it refers to, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("src", "srcset", "data", "poster", "action") or (name.endswith("href") and tag != "a"):
                self.loaded.append(str(value))
            if name == "href" and tag == "a":
                self.links.append(str(value))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module", name="page")
def fixture_page(
    tmp_path_factory: pytest.TempPathFactory, make_rows: Callable[..., Rows], write_table: Callable[..., Path]
) -> Path:
    """Write the report of a made-up table, with figures that have the same ids."""
    rows = [row for protocol in ("end_to_end", "kernel_only") for row in make_rows(protocol=protocol)]
    folder = write_table(tmp_path_factory.mktemp("report"), rows)
    archive = table.read(folder)
    pictures = {name: figures.FIGURES[name].prepare(archive) for name in ("overview", "tflops", "memory", "ablation")}
    for name, picture in pictures.items():
        for file, layout in figures.FIGURES[name].layouts(name).items():
            figures.save(figures.draw(name, picture, layout), folder / "figures", file, ["svg"])
    captions = {name: f"The caption of {name}." for name in pictures} | {"batch": "Not drawn: no data."}
    (folder / "figures" / "captions.json").write_text(json.dumps(captions))
    sources = {"algorithms": {row["algorithm"]: row["source_hash"] for row in rows} | {"direct": "changed"}}
    stale = staleness.compare(archive, sources | {"harness": "harness"})
    judged = claims.explained(archive)
    output = folder / "report.md"
    for _ in range(2):
        sections = report.compose(archive, stale, judged, folder / "figures", folder / "tables", output)
        text = render("A report", sections, folder, claims.MARKS)
        if (folder / "report.html").exists():
            assert text == (folder / "report.html").read_text()  # the same bytes on a second run
        (folder / "report.html").write_text(text)
    return folder / "report.html"


def test_the_page_is_well_formed_and_loads_nothing(page: Path) -> None:
    text = page.read_text()
    found = Page(text)
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert all(one.startswith(("#", "data:")) for one in found.loaded), found.loaded
    assert all(one.startswith(("#", "data:", "https://")) for one in found.links), found.links
    assert {one[1:] for one in [*found.loaded, *found.links] if one.startswith("#")} <= set(found.ids)
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(found.ids)
    assert "@import" not in text and "url(http" not in text


def test_every_figure_is_there_with_its_caption(page: Path) -> None:
    text = page.read_text()
    assert re.findall(r'<figure id="figure-(\w+)"', text) == ["overview", "tflops", "memory", "ablation"]
    assert text.index('id="overview"') < text.index("The caption of overview.") < text.index('id="findings"')
    assert re.search(r'<source media="\(prefers-color-scheme: dark\)" srcset="data:image/svg\+xml;base64,\w', text)
    for name in ("tflops", "memory", "ablation"):
        assert f"The caption of {name}." in text
    assert "Not drawn" not in text


def test_the_first_screen_has_the_verdicts_and_the_overview(page: Path) -> None:
    text = page.read_text()
    names = re.findall(r'<section id="([\w-]+)">', text)
    assert names[:5] == ["claims", "overview", "findings", "networks", "guide"]
    claims_section = text[text.index('<section id="claims">') : text.index('<section id="overview">')]
    rows = re.findall(r"<details>\n<summary>(.*)</summary>", claims_section)
    assert len(rows) == 6 + 1
    assert rows[1] == (
        '<strong class="mark bad">not reproduced</strong> im2win reaches up to 1.8x the TFLOPS of the best performing '
        "cuDNN convolution <em>0.800x</em>"
    )
    assert "im2win is 0.800x as fast and is ahead on none of them" in claims_section
    assert rows[-1] == "How a verdict is reached"
    assert names[-4:] == ["method", "paper", "machine", "provenance"]
    assert '<strong class="mark fair">partly</strong>' in text
    assert '<strong class="mark bad">Stale:</strong> the sources of direct' in text
    assert "†" in text
    assert "prefers-color-scheme: dark" in text


def test_the_parts_of_a_folded_section_are_shown_on_demand(tmp_path: Path) -> None:
    body = "Above.\n\n### A\n\n#### B\n\n### A\n\n#### B\n"
    text = render("T", [Section("one", "One", body, folded=True), Section("two", "Two", body)], tmp_path)
    assert text.count("<details open>") == text.count("<details>") == 1
    assert text.count("<p>Above.</p>") == 2
    found = Page(text)
    assert len(found.ids) == len(set(found.ids)) == 2 + 2 + 4


def test_a_missing_figure_and_a_missing_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("a\n1\n")
    body = "![x](figures/none.svg)\n\n([CSV](there.csv)) ([PDF](gone.pdf))\n"
    text = render("T & <b>", [Section("one", "One", body)], tmp_path)
    assert "The figure figures/none.svg is missing" in text
    assert 'download="there.csv" href="data:text/csv;base64,YQoxCg=="' in text
    assert "(PDF)" in text
    assert "<title>T &amp; &lt;b&gt;</title>" in text


# The page reports on itself to the page around it, a window of any width: Chromium's own is never below 500 pixels.
PROBE = """<script>addEventListener("load", () => {
  const height = (one) => one.getBoundingClientRect().height;
  const head = document.querySelector("#guide th button");
  const words = document.querySelector("#guide .filter");
  const rows = Array.from(document.querySelectorAll("#guide table tbody")[0].rows);
  words.value = "conv1 ms";
  words.dispatchEvent(new Event("input"));
  const filtered = rows.filter((row) => row.hidden).length;
  const folded = document.querySelectorAll("details:not([open])").length;
  dispatchEvent(new Event("beforeprint"));
  const printed = document.querySelectorAll("details:not([open])").length;
  dispatchEvent(new Event("afterprint"));
  head.click();
  head.click();
  parent.postMessage({
    window: innerWidth, wide: document.documentElement.scrollWidth,
    first: head.closest("table").querySelector("tbody td").textContent,
    filtered, printed, again: document.querySelectorAll("details:not([open])").length === folded,
    figures: Array.from(document.querySelectorAll("figure svg, figure img"), (one) => height(one) > 50),
    dark: matchMedia("(prefers-color-scheme: dark)").matches }, "*");
});</script>"""
AROUND = """<!DOCTYPE html><meta name="color-scheme" content="light dark"><body><script>
addEventListener("message", (event) => { document.body.textContent = JSON.stringify(event.data); });
</script><iframe src="page.html" style="width: WIDTHpx; height: 800px; border: 0"></iframe></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_a_browser_shows_it_without_complaint(page: Path, tmp_path: Path, width: int, dark: bool) -> None:
    (tmp_path / "page.html").write_text(page.read_text().replace("</body>", f"{PROBE}</body>"))
    around = tmp_path / "around.html"
    around.write_text(AROUND.replace("WIDTH", str(width)))
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--window-size=1400,900"]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--virtual-time-budget=5000"]
    command += ["--dump-dom", around.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr
    body = re.search(r"<body>(\{.*\})</body>", done.stdout, re.DOTALL)
    assert body, done.stdout[-500:]
    found = json.loads(body[1])
    assert found["window"] == width
    assert found["wide"] <= width
    assert found["first"] == "conv12"
    assert found["filtered"] == 8  # conv2 to conv9
    assert (found["printed"], found["again"]) == (0, True)
    assert found["figures"] == [True, True, True, True]
    assert found["dark"] == dark

"""Our Markdown as HTML, and figures as parts of a page."""

import xml.etree.ElementTree as ElementTree

from analysis.writing.html import inline_svg
from analysis.writing.markup import inline, to_html
from analysis.writing.phrases import markdown_table


def test_inline_marks() -> None:
    assert inline("a **b** and *c d* and `e*f*` < g") == (
        "a <strong>b</strong> and <em>c d</em> and <code>e*f*</code> &lt; g"
    )
    assert inline("2 * 3 * 4") == "2 * 3 * 4"
    assert inline("[CSV](a&b.csv)") == '<a href="a&amp;b.csv">CSV</a>'
    assert inline("**partly**", classes={"partly": "mark"}) == '<strong class="mark">partly</strong>'
    assert inline("x<script>") == "x&lt;script&gt;"


def test_blocks() -> None:
    text = "### A *b*\n\nOne\ntwo.\n\n* x\n* y\n\n#### C\n"
    assert to_html(text, prefix="p-").split("\n")[:4] == [
        '<h3 id="p-1">A <em>b</em></h3>',
        "<p>One two.</p>",
        "<ul><li>x</li><li>y</li></ul>",
        '<h4 id="p-2">C</h4>',
    ]


def test_tables_keep_cells_and_alignment() -> None:
    found = to_html(markdown_table(["layer", "ms"], [["a|b", "1.5"], ["c", "-"]]))
    root = ElementTree.fromstring(found)
    assert [cell.text for cell in root.iter("td")] == ["a|b", "1.5", "c", "-"]
    assert [cell.get("class") for cell in root.iter("td")] == [None, "num", None, "num"]
    assert [head.get("class") for head in root.iter("th")] == [None, "num"]
    assert root.find("table").get("class") == "keys"  # type: ignore[union-attr]


def test_an_empty_table_is_a_table() -> None:
    assert "<tbody>" in to_html(markdown_table(["a", "b"], []))


def test_an_svg_gets_ids_of_its_own_and_keeps_its_style_to_itself() -> None:
    svg = """<?xml version="1.0"?>
<!DOCTYPE svg PUBLIC "x" "http://www.w3.org/x.dtd">
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="100pt" height="50pt"
 viewBox="0 0 100 50" version="1.1">
<metadata><x/></metadata><defs><style type="text/css">*{stroke-linecap: butt}</style><path id="m1" d="M0 0"/></defs>
<g clip-path="url(#p1)"><use xlink:href="#m1"/></g><clipPath id="p1"/></svg>"""
    found = inline_svg(svg, "a-", 'says "x"')
    root = ElementTree.fromstring(found)
    assert "DOCTYPE" not in found and "metadata" not in found
    assert sorted(one.get("id", "") for one in root.iter() if one.get("id")) == ["a-drawing", "a-m1", "a-p1"]
    assert 'xlink:href="#a-m1"' in found and "url(#a-p1)" in found
    assert "#a-drawing *{stroke" in found
    assert root.get("aria-label") == 'says "x"'
    assert root.get("width") is None
    assert root.get("style") == "max-width: 150pt"

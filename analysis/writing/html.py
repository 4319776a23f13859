"""Write a report's sections as one self-contained HTML file, with style, script, figures and data in it."""

import base64
import html
import re
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis.writing.markup import Section, inline, plain_link, to_html

TEMPLATES = Path(__file__).parent / "templates"
TYPES = {".csv": "text/csv", ".pdf": "application/pdf"}
HEAD = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
PART = re.compile(r"^### ", re.MULTILINE)


def render(title: str, sections: list[Section], folder: Path, marks: Mapping[str, str] | None = None) -> str:
    """Write the sections as HTML; the figures and tables that they link to are read relative to `folder`.

    `marks` gives the class of the style sheet for strong texts that are marked, such as verdicts.
    """

    def image(caption: str, path: str) -> str:
        name = Path(path).stem
        if (folder / path).with_name(f"{name}_dark.svg").is_file():
            return f'<figure id="figure-{name}" class="front">{_two_pages(folder / path, caption)}</figure>'
        try:
            drawing = inline_svg((folder / path).read_text(encoding="utf-8"), f"{name}-", caption)
        except FileNotFoundError:
            return f'<p class="missing">The figure {html.escape(path)} is missing: run snakemake, which draws it.</p>'
        return f'<figure id="figure-{name}"><div class="scroll" tabindex="0">{drawing}</div></figure>'

    def link(text: str, target: str) -> str:
        if target.startswith(("http://", "https://", "#")):
            return plain_link(text, target)
        path = folder / target
        if path.suffix not in TYPES or not path.is_file():
            return text
        content = base64.b64encode(path.read_bytes()).decode()
        return f'<a download="{path.name}" href="data:{TYPES[path.suffix]};base64,{content}">{text}</a>'

    def convert(text: str, prefix: str) -> Markup:
        return Markup(to_html(text, image, link, marks, prefix))

    def parts(section: Section) -> list[tuple[Markup, Markup]]:
        """Split a folded section at its third-level headings."""
        if not section.folded:
            return []
        split = [part.partition("\n") for part in PART.split(section.markdown)[1:]]
        return [
            (Markup(inline(head, link, marks)), convert(text, f"{section.name}-{index}-"))
            for index, (head, _, text) in enumerate(split)
        ]

    shown = [
        {
            "name": one.name,
            "title": one.title,
            "parts": parts(one),
            "opened": one.opened,
            "body": convert(PART.split(one.markdown)[0] if one.folded else one.markdown, f"{one.name}-"),
        }
        for one in sections
    ]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    texts = {name: Markup((TEMPLATES / f"report.{name}").read_text(encoding="utf-8")) for name in ("css", "js")}
    return environment.get_template("report.html.j2").render(title=title, sections=shown, **texts)


def _two_pages(path: Path, caption: str) -> str:
    """Show a drawing that there is for light and, as NAME_dark, for dark pages."""
    light, dark = (
        f"data:image/svg+xml;base64,{base64.b64encode(one.read_bytes()).decode()}"
        for one in (path, path.with_name(f"{path.stem}_dark.svg"))
    )
    source = f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
    return f'<picture>{source}<img src="{light}" alt="{html.escape(caption)}"></picture>'


def inline_svg(text: str, prefix: str, caption: str) -> str:
    """Make an SVG file part of a page: without prolog, with ids that start with `prefix` and styles of its own.

    Matplotlib gives clips, markers and glyphs of different figures the same ids; on one page they would collide.
    """
    text = HEAD.sub("", text).strip()
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'(xlink:href|href)="#', rf'\1="#{prefix}', text)
    text = re.sub(r"url\(#", f"url(#{prefix}", text)
    text = re.sub(r'(<style type="text/css">)\*', rf"\1#{prefix}drawing *", text)
    opening = re.match(r"<svg\b[^>]*>", text, re.DOTALL)
    if not opening:
        return ""
    size = re.search(r'viewBox="\S+ \S+ (\S+) (\S+)"', opening[0])
    kept = re.sub(r'\s(width|height|id|version)="[^"]*"', "", opening[0])
    attributes = f' id="{prefix}drawing" role="img" aria-label="{html.escape(caption)}"'
    if size:
        attributes += f' style="max-width: {1.5 * float(size[1]):.0f}pt"'
    return f"{kept[:-1]}{attributes}>{text[opening.end() :]}"

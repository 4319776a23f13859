"""Turn the Markdown that this package writes into HTML: headings, lists, tables, paragraphs, images and inline marks.

It reads only the Markdown of this package, so that a report is composed once and written in both forms.
"""

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby

Image = Callable[[str, str], str]  # alternative text, path -> HTML
Link = Callable[[str, str], str]  # text, target -> HTML

MAX_NAME = 36
#: A column of texts with a cell longer than this many characters gets line breaks.
SHORT_CELL = 20
CELL = re.compile(r"(?<!\\)\|")
STRONG = re.compile(r"\*\*(\S.*?)\*\*")
EMPHASIS = re.compile(r"(?<![\w*])\*([^\s*][^*]*?)\*(?![\w*])")
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]*)\)")


@dataclass(frozen=True)
class Section:
    """One part of a report: its anchor, its title, and its Markdown with headings from the third level on.

    A `folded` section is long: in HTML each of its parts is shown on demand, the first at once if it is `opened`.
    """

    name: str
    title: str
    markdown: str
    folded: bool = False
    opened: bool = True


def plain_link(text: str, target: str) -> str:
    """Link to a target as it is."""
    return f'<a href="{html.escape(target)}">{text}</a>'


def to_html(
    text: str,
    image: Image | None = None,
    link: Link = plain_link,
    classes: Mapping[str, str] | None = None,
    prefix: str = "",
) -> str:
    """Convert Markdown; `classes` maps strong texts to their CSS class, and the headings' ids begin with `prefix`."""
    marks = classes or {}
    kinds = [(_kind(line), line) for line in text.split("\n")]
    parts, count = [], 0
    for kind, group in groupby(kinds, key=lambda pair: pair[0]):
        lines = [line for _, line in group]
        if kind == "heading":
            for line in lines:
                level = len(line) - len(line.lstrip("#"))
                count += 1
                title = inline(line.lstrip("# "), link, marks)
                parts.append(f'<h{level} id="{prefix}{count}">{title}</h{level}>')
        elif kind == "list":
            items = "".join(f"<li>{inline(line[2:], link, marks)}</li>" for line in lines)
            parts.append(f"<ul>{items}</ul>")
        elif kind == "table":
            parts.append(_table(lines, link, marks))
        elif kind == "image" and image:
            found = (re.fullmatch(r"!\[(.*)\]\((.*?)\)", line.strip()) for line in lines)
            parts += [image(one[1], one[2]) for one in found if one]
        elif kind == "text":
            parts.append(f"<p>{inline(' '.join(lines), link, marks)}</p>")
    return "\n".join(parts) + "\n"


def _kind(line: str) -> str:
    if not line.strip():
        return "blank"
    starts = {"#": "heading", "* ": "list", "|": "table", "![": "image"}
    return next((kind for start, kind in starts.items() if line.startswith(start)), "text")


def inline(text: str, link: Link = plain_link, classes: Mapping[str, str] | None = None) -> str:
    """Convert code, links, strong and emphasis within a line; everything else is escaped."""
    parts = []
    for index, part in enumerate(re.split(r"`([^`]*)`", text.replace("\\|", "|"))):
        if index % 2:
            parts.append(f"<code>{html.escape(part)}</code>")
            continue
        part = html.escape(part, quote=False)
        part = STRONG.sub(lambda found: _strong(found[1], classes or {}), part)
        part = EMPHASIS.sub(r"<em>\1</em>", part)
        parts.append(LINK.sub(lambda found: link(found[1], html.unescape(found[2])), part))
    return "".join(parts)


def _strong(text: str, classes: Mapping[str, str]) -> str:
    name = classes.get(text)
    return f'<strong class="{name}">{text}</strong>' if name else f"<strong>{text}</strong>"


def _table(lines: list[str], link: Link, classes: Mapping[str, str]) -> str:
    rows = [[cell.strip() for cell in CELL.split(line.strip()[1:-1])] for line in lines]
    header, rule, body = rows[0], rows[1], rows[2:]
    kinds = []
    for column, alignment in enumerate(rule):
        longest = max((len(row[column]) for row in body), default=0)
        kinds.append("num" if alignment.endswith(":") else "wide" if longest > SHORT_CELL else "")

    def attribute(kind: str) -> str:
        return f' class="{kind}"' if kind else ""

    heads = "".join(
        f'<th scope="col"{attribute(kind)}><button type="button">{inline(cell, link, classes)}</button></th>'
        for cell, kind in zip(header, kinds, strict=True)
    )
    cells = "\n".join(
        f"<tr>{''.join(f'<td{attribute(kind)}>{inline(cell, link, classes)}</td>' for cell, kind in pairs)}</tr>"
        for pairs in (list(zip(row, kinds, strict=True)) for row in body)
    )
    # The first column stays in view when a table is scrolled sideways, unless it holds sentences: they fill a phone.
    kind = "keys" if all(len(row[0]) <= MAX_NAME for row in body) else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="table"><table{attribute(kind)}>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{cells}\n</tbody></table></div>"
    )

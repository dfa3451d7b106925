"""The page: HTML pieces from plain values. Every text passes through `escape`; nothing is loaded from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from string import Template

#: Dark on light, as the figures are; on a narrow screen a figure keeps a readable width and scrolls in its frame.
STYLE = """
:root { color-scheme: light; --ground: #ffffff; --ink: #1c2024; --soft: #5b6570; --line: #d9dee3;
  --card: #f6f8fa; --good: #00734f; --bad: #b34700; --blue: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1000px; padding: 28px 24px 64px; background: var(--ground); color: var(--ink);
  overflow-wrap: break-word; font: 16px/1.55 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.65rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
p, ul { margin: .5rem 0; } li { margin: .25rem 0; }
.kicker, figcaption, .soft { color: var(--soft); }
.verdict { border-left: 5px solid var(--blue); background: var(--card); padding: .8rem 1.1rem; margin: 1.1rem 0;
  border-radius: 0 6px 6px 0; font-size: 1.08rem; }
.verdict.good { border-color: var(--good); } .verdict.bad { border-color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .6rem 0 1rem; font-size: .94rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem 1.1rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; }
tbody th { font-weight: 500; } tbody th, table:not(.checks) td { overflow-wrap: anywhere; }
tbody th { min-width: 9.5rem; }
table.broad td, table.broad th { white-space: nowrap; min-width: 0; padding-right: .9rem; }
figure { margin: 1.4rem 0 2rem; } .frame { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
.frame img { width: 100%; min-width: 760px; height: auto; padding: 10px; display: block; }
.frame img.natural { width: auto; min-width: 0; max-width: 100%; }
.frame iframe { width: 100%; min-width: 320px; height: 560px; border: 0; display: block; }
figcaption { margin-top: .5rem; font-size: .95rem; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: .9rem; }
pre { background: var(--card); padding: .7rem 1rem; border-radius: 6px; white-space: pre-wrap; }
@media (max-width: 640px) { body { padding: 16px 14px 40px; } th, td { padding-right: .7rem; }
  tbody th { min-width: 6.5rem; } }
@media print { body { max-width: none; } .frame img { min-width: 0; } figure { break-inside: avoid; } }
"""

_PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
$body
</body>
</html>
"""
)


def page(title: str, parts: Iterable[str]) -> str:
    """Return the whole document."""
    return _PAGE.substitute(title=escape(title), style=STYLE, body="\n".join(part for part in parts if part))


def title(text: str) -> str:
    """Return the title of the page."""
    return f"<h1>{escape(text)}</h1>"


def section(title: str, *parts: str) -> str:
    """Return a section with its heading; nothing if all parts are empty."""
    body = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>" if body else ""


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    return f"<p{_class(kind)}>{escape(text)}</p>"


def verdict(text: str, good: bool) -> str:
    """Return the sentence that everybody should read."""
    return f'<div class="verdict {"good" if good else "bad"}">{escape(text)}</div>'


def bullets(items: Sequence[str]) -> str:
    """Return a list of plain texts; nothing for none."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>" if items else ""


def table(rows: Sequence[Sequence[str]], head: Sequence[str] = (), *, broad: bool = False) -> str:
    """Return a table whose first column names its rows; a broad one is scrolled, not squeezed."""
    top = "<thead><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr></thead>" if head else ""
    body = "".join(
        f"<tr><th>{escape(row[0])}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table{_class("broad" if broad else "")}>{top}<tbody>{body}</tbody></table></div>'


def code(text: str) -> str:
    """Return preformatted text."""
    return f"<pre>{escape(text)}</pre>"


def image(png: bytes, title: str, caption: str, alt: str, *, natural: bool = False) -> str:
    """Return a figure with its PNG inside, as wide as the page or of its natural size.

    `alt` says what a reader would see who does not see it.
    """
    data = base64.b64encode(png).decode("ascii")
    words = f"<figcaption><strong>{escape(title)}.</strong> {escape(caption)}</figcaption>"
    shown = f'<img{_class("natural" if natural else "")} alt="{escape(alt)}" src="data:image/png;base64,{data}">'
    return f'<figure><div class="frame">{shown}</div>{words}</figure>'


def embedded(document: str, title: str, caption: str) -> str:
    """Return a whole HTML document inside a frame of its own, which it cannot leave."""
    words = f"<figcaption><strong>{escape(title)}.</strong> {escape(caption)}</figcaption>"
    inside = f'<iframe sandbox="allow-scripts" title="{escape(title)}" srcdoc="{escape(document)}"></iframe>'
    return f'<figure><div class="frame">{inside}</div>{words}</figure>'


def _class(kind: str) -> str:
    return f' class="{escape(kind)}"' if kind else ""

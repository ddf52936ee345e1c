"""Pages in HTML that need nothing but themselves: no scripts, no fonts."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING

from laminet.core.table_data import TableData
from laminet.show.html import html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["document", "picture", "table"]

_STYLE = """
:root { color-scheme: light dark; --text: #1c1c1c; --pale: #555; --heading: #444; --page: #fff;
  --line: #e8e8e8; --frame: #d8d8d8; --shade: #0005; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.2rem 1rem 3rem; color: var(--text);
  background: var(--page);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p, li { max-width: 46rem; }
.under { color: var(--pale); margin: 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .6rem;
  margin: 1.2rem 0 0; }
.facts div { border: 1px solid var(--frame); border-radius: .5rem; padding: .5rem .75rem; }
.facts dt { color: var(--pale); font-size: .85rem; }
.facts dd { margin: 0; font-size: 1.25rem; font-weight: 600; }
ul { padding-left: 1.2rem; }
li { margin-bottom: .45rem; }
figure { margin: 0 0 1rem; }
img { display: block; width: 100%; height: auto; }
figcaption, .note { color: var(--pale); font-size: .88rem; max-width: 46rem; }
/* A shade at a side tells that there is more; covers of the page's colour, which go along with the
   table, hide it where there is not. */
.wide { overflow-x: auto; margin: 0 0 .8rem;
  background: linear-gradient(to right, var(--page) .5rem, transparent .8rem) local,
    linear-gradient(to left, var(--page) .5rem, transparent .8rem) local,
    linear-gradient(to right, var(--shade), transparent .5rem) scroll,
    linear-gradient(to left, var(--shade), transparent .5rem) scroll; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .6rem 0 .2rem; }
th { font-weight: 600; color: var(--heading); vertical-align: bottom; }
th, td { padding: .28rem .9rem .28rem 0; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
:is(th, td):last-child { padding-right: 0; }
details { margin: .5rem 0; }
summary { cursor: pointer; }
@media (max-width: 40rem) {
  body { padding: .9rem .8rem 2rem; }
  table { font-size: .76rem; }
  :is(th, td):not(:last-child) { padding-right: .45rem; }
  .facts { grid-template-columns: 1fr 1fr; }
  .facts dd { font-size: 1.1rem; }
}
@media screen and (prefers-color-scheme: dark) {
  :root { --text: #e4e4e4; --pale: #a8a8a8; --heading: #c4c4c4; --page: #16181b; --line: #2c2f33;
    --frame: #3c4046; --shade: #fff6; }
  img { filter: invert(.91) hue-rotate(180deg); }  /* white becomes the page, hues stay */
}
@media print { body { max-width: none; } }
"""


def document(title: str, body: str) -> str:
    """Return a whole document: the body, and the style that its parts share."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
{body}</body>
</html>
"""


def table(data: TableData) -> str:
    """Return a table that is scrolled where the page is narrow, by keys too."""
    name = escape(data.title or "Table")
    return (
        f'<div class="wide" role="region" aria-label="{name}" tabindex="0">{html_table(data)}</div>'
    )


def picture(wide: Figure, narrow: Figure, words: str, caption: str) -> str:
    """Return a picture with another shape for narrow screens, as images inside the page."""
    return (
        "<figure><picture>"
        f'<source media="(max-width: 40rem)" srcset="{_data(narrow)}">'
        f'<img alt="{escape(words)}" src="{_data(wide)}">'
        f"</picture><figcaption>{escape(caption)}</figcaption></figure>"
    )


def _data(drawn: Figure) -> str:
    file = io.BytesIO()
    drawn.savefig(file, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()

"""The frame of every HTML page: one file that needs nothing beside it, without scripts, light or dark as set."""

from __future__ import annotations

from html import escape

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1f24; --quiet: #57606a; --rule: #d0d7de; --warning: #9a3412; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { font-size: 1rem; margin-bottom: .2rem; }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
th { border-bottom: 1px solid var(--rule); }
.number { text-align: right; } .quiet, figcaption { color: var(--quiet); } .warning { color: var(--warning); }
@media (prefers-color-scheme: dark) {
  body { background: #0d1117; color: #e6edf3; --quiet: #8d96a0; --rule: #30363d; --warning: #ffb454; }
}
"""


def html_page(title: str, body: str, *, style: str = "") -> str:
    """Return a whole page.

    Args:
        title: Of the browser's tab, as plain text; no names of patients.
        body: HTML.
        style: What this page has beside the style of all; `var(--quiet)`, `var(--rule)`, `var(--warning)` are colours
            that fit light and dark.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )

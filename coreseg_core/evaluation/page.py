"""A report as one HTML page that needs nothing beside it: tables, plots, and answers to look at."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from coreseg_core import NOTICE
from coreseg_core.evaluation.cases import Case
from coreseg_core.evaluation.report import Report
from coreseg_core.evaluation.tables import report_table
from coreseg_core.html_page import html_page

_WIDTH, _HEIGHT, _EDGE = 360, 220, 36
_STYLE = """
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; }
figure { display: inline-block; margin: 1rem 2rem 1rem 0; vertical-align: top; }
figcaption { font-size: 13px; }
.case img { max-width: 34rem; display: block; margin-bottom: .3rem; }
"""


def report_page(report: Report, *, title: str, cases: Sequence[Case] = ()) -> str:
    """Return a report as HTML.

    Args:
        report: The report.
        title: What was measured; no names of pictures or patients.
        cases: Answers to look at.
    """
    scaled = report.to_json()["calibration"]["scaled"]["together"]
    parts = [
        f"<h1>{html.escape(title)}</h1><p>{NOTICE}</p>",
        _dice_plot([score.dice for score in report.positives]),
        _risk_plot(scaled),
        tables_as_html(report_table(report)),
        *(_case(case) for case in cases),
    ]
    return html_page(title, "".join(parts), style=_STYLE)


def tables_as_html(markdown: str) -> str:
    """Return Markdown of tables and paragraphs, as reports are written, as HTML."""
    blocks = [block for block in markdown.strip().split("\n\n") if block]
    return "".join(_table(block) if block.startswith("|") else f"<p>{_text(block)}</p>" for block in blocks)


def _table(block: str) -> str:
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
    lines = [_line(header, "th"), *(_line(row, "td") for row in rows)]
    return f"<table>{''.join(lines)}</table>"


def _line(cells: Sequence[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{_text(cell)}</{tag}>' for cell in cells)}</tr>"


def _text(words: str) -> str:
    plain = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", html.escape(words))
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", plain)


def _dice_plot(dices: Sequence[float]) -> str:
    counts, _ = np.histogram(dices, bins=np.linspace(0, 1, 21))
    top = max(1, int(counts.max()))
    bar = (_WIDTH - 2 * _EDGE) / len(counts)
    bars = "".join(
        f'<rect x="{_EDGE + number * bar + 1:.1f}" y="{_HEIGHT - _EDGE - height:.1f}" width="{bar - 2:.1f}" '
        f'height="{height:.1f}" fill="#2f81f7"/>'
        for number, height in enumerate((_HEIGHT - 2 * _EDGE) * counts / top)
    )
    return _plot(
        bars, caption=f"Dice of {len(dices)} answers; the highest bar is {top}.", across="Dice", up="answers"
    )


def _risk_plot(scaled: Mapping[str, Any]) -> str:
    points = [(float(at), risk) for at, risk in scaled["risk_at_coverage"].items() if risk is not None]
    line = " ".join(
        f"{_EDGE + at * (_WIDTH - 2 * _EDGE):.1f},{_HEIGHT - _EDGE - risk * (_HEIGHT - 2 * _EDGE):.1f}"
        for at, risk in points
    )
    drawn = f'<polyline points="{line}" fill="none" stroke="#2f81f7" stroke-width="2"/>'
    caption = "Share of wrong answers among the most confident ones, from the most confident tenth to all."
    return _plot(drawn, caption=caption, across="answered", up="wrong")


def _plot(drawn: str, *, caption: str, across: str, up: str) -> str:
    right, bottom = _WIDTH - _EDGE, _HEIGHT - _EDGE
    axes = f'<path d="M{_EDGE},{_EDGE} V{bottom} H{right}" fill="none" stroke="currentColor"/>'
    words = (
        f'<text x="{_EDGE}" y="{bottom + 16}">0</text><text x="{right}" y="{bottom + 16}" text-anchor="end">1</text>'
        f'<text x="{_WIDTH / 2}" y="{bottom + 28}" text-anchor="middle">{across}</text>'
        f'<text x="{_EDGE}" y="{_EDGE - 8}">{up}</text>'
    )
    return (
        f'<figure><svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{html.escape(caption)}" '
        f'font-size="12" fill="currentColor">{axes}{drawn}{words}</svg><figcaption>{html.escape(caption)}</figcaption>'
        "</figure>"
    )


def _case(case: Case) -> str:
    pictures = "".join(
        f'<img alt="{what}" src="data:image/png;base64,{base64.b64encode(content).decode()}">'
        for what, content in (("answer", case.found_png), ("truth", case.truth_png))
    )
    return (
        f'<figure class="case">{pictures}<figcaption>{case.rank}, Dice {case.dice:.2f}</figcaption></figure>'
    )

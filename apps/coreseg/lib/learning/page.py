"""The page at `/coreseg/`: tables and small drawings of what the loop of corrections does; no script, no names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from coreseg_core.html_page import html_page

_STYLE = """
tr.answers td { font-weight: 600; } svg { display: block; } rect.a { fill: #9fb4cc; } rect.c { fill: #d98e3f; }
"""
_WIDTH, _HEIGHT = 640, 120


def render(told: Mapping[str, Any]) -> str:
    """Return the page for what `GET /coreseg/learning` tells."""
    parts = [
        "<h1>CORE-Seg: learning from corrections</h1>",
        '<p class="quiet">Research software, not a medical device. Numbers alone; reload to see later ones.</p>',
        _section("Versions", _versions(told["versions"])),
        _section("Trainings", _trainings(told["trainings"])),
        _section(f"Labels by week ({told['labels']} in all)", _weeks(told["weeks"])),
        _section("Dice of the answered and the accepted mask, by week", _drift(told["weeks"])),
        _section("Agreement of answer and reader, by slice", _agreement(told["agreement"])),
        _section("Time and queue since the server was started", _times(told)),
    ]
    return html_page("CORE-Seg", "".join(parts), style=_STYLE)


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content or _quiet('Nothing yet.')}</section>"


def _quiet(text: str) -> str:
    return f'<p class="quiet">{escape(text)}</p>'


def _versions(told: Mapping[str, Any]) -> str:
    rows = []
    for one in reversed(told["versions"]):
        scores, guard = one.get("scores") or {}, one.get("guard") or {}
        cells = [
            one["version"],
            one.get("parent") or "",
            "answers" if one["answers"] else _waiting(one),
            *(
                _beside((scores.get(where) or {}).get(what))
                for where in ("guard", "corrections")
                for what in ("Dice", "right denials")
            ),
            "" if guard.get("passed") else str(guard.get("reason") or ""),
        ]
        rows.append((cells, "answers" if one["answers"] else ""))
    heads = ("version", "from", "state", "guard: Dice", "guard: denials", "held apart: Dice")
    return _table((*heads, "held apart: denials", "why it waits"), rows)


def _waiting(one: Mapping[str, Any]) -> str:
    return "waits" if one["state"] == "candidate" else str(one["state"])


def _beside(compared: Mapping[str, Any] | None) -> str:
    """Return a score after its parent's."""
    if not compared or compared.get("version") is None:
        return ""
    return f"{compared['parent']:.3f} → {compared['version']:.3f} (n {compared['n']})"


def _trainings(told: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for one in reversed(told[-10:]):
        loss, dice = one.get("loss"), one.get("dice")
        cells = [
            one["run"],
            one["state"] if one["stage"] == "ended" else f"{one['state']}: {one['stage']}",
            f"{one['step']} / {one['steps']}",
            "" if one.get("eta_s") is None else f"{one['eta_s']:.0f} s",
            "" if loss is None else f"{loss:.3f}",
            "" if dice is None else f"{dice:.3f}",
            ": ".join(part for part in (one.get("version"), one.get("reason")) if part),
        ]
        rows.append((cells, ""))
    return _table(("run", "state", "step", "to go", "loss", "Dice", "outcome"), rows) if rows else ""


def _weeks(weeks: Sequence[Mapping[str, Any]]) -> str:
    """Return bars: accepted as answered below, changed above."""
    if not weeks:
        return ""
    weeks = weeks[-52:]
    tallest = max(week["accepted"] + week["changed"] for week in weeks)
    step = _WIDTH / len(weeks)
    bars = []
    for place, week in enumerate(weeks):
        low = _HEIGHT * week["accepted"] / tallest
        high = _HEIGHT * week["changed"] / tallest
        title = f"{week['week']}: {week['accepted']} accepted, {week['changed']} changed"
        for kind, top, height in (("a", _HEIGHT - low, low), ("c", _HEIGHT - low - high, high)):
            bars.append(
                f'<rect class="{kind}" x="{place * step + 1:.1f}" y="{top:.1f}" width="{max(1.0, step - 2):.1f}" '
                f'height="{height:.1f}"><title>{escape(title)}</title></rect>'
            )
    accepted, changed = (sum(week[kind] for week in weeks) for kind in ("accepted", "changed"))
    legend = f"{weeks[0]['week']} to {weeks[-1]['week']}: {accepted} accepted as answered, {changed} changed (above)."
    return _svg(bars) + _quiet(legend)


def _drift(weeks: Sequence[Mapping[str, Any]]) -> str:
    points = [(week["week"], week["dice"]) for week in weeks[-52:] if week["dice"] is not None]
    if not points:
        return ""
    step = _WIDTH / max(1, len(points) - 1)
    places = [(place * step, _HEIGHT * (1 - value)) for place, (_, value) in enumerate(points)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#2f5d8a"><title>{escape(week)}: {value:.3f}</title></circle>'
        for (x, y), (week, value) in zip(places, points, strict=True)
    ]
    drawn = [f'<polyline points="{line}" fill="none" stroke="#2f5d8a" stroke-width="2"/>', *dots]
    return _svg(drawn) + _quiet(f"From 0 to 1; last week with labels: {points[-1][1]:.3f}. A fall is drift.")


def _agreement(told: Mapping[str, Mapping[str, int]]) -> str:
    rows = [
        (
            [name, f"{counts['agreed']} of {counts['slices']}", f"{counts['agreed'] / counts['slices']:.0%}"],
            "",
        )
        for name, counts in told.items()
        if counts["slices"]
    ]
    return _table(("", "slices", "agreed"), rows) if rows else ""


def _times(told: Mapping[str, Any]) -> str:
    rows = [([stage, f"{seconds:.2f} s"], "") for stage, seconds in told["stages_s"].items()]
    queue = told["queue"]
    rows.append((["jobs", f"{queue['running']} run, {queue['waiting']} of {queue['capacity']} wait"], ""))
    return _table(("stage", "mean"), rows)


def _table(heads: Iterable[str], rows: Iterable[tuple[Sequence[object], str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(
        f'<tr class="{kind}">' + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"
        for cells, kind in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _svg(parts: Iterable[str]) -> str:
    return (
        f'<svg viewBox="-4 -4 {_WIDTH + 8} {_HEIGHT + 8}" width="{_WIDTH}" height="{_HEIGHT}" role="img">'
        f"{''.join(parts)}</svg>"
    )

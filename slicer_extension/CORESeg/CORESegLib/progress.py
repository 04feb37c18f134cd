"""What the panel says while a question is on its way, and which of its buttons mean something: all from the state."""

from __future__ import annotations

from dataclasses import dataclass

from CORESegLib.asking import Stood
from CORESegLib.findings import Findings
from CORESegLib.machine import RUNNING, State
from CORESegLib.outcomes import CHIPS, Chip
from CORESegLib.trouble import Trouble


@dataclass(frozen=True, kw_only=True)
class QuestionView:
    """What the block of the question shows.

    Attributes:
        button: The word on the one button.
        button_enabled: Whether it can be pressed.
        line: The line under it.
        share: Of the bar, 0 to 1; None for a bar that only shows that something goes on.
        bar: Whether there is a bar.
        chip: The outcome, None while there is none.
        partial: Whether the chip speaks of a part of the slices only.
        retry: Whether asking again may help.
    """

    button: str
    button_enabled: bool
    line: str
    share: float | None = None
    bar: bool = False
    chip: Chip | None = None
    partial: bool = False
    retry: bool = False


def view_of(
    state: State,
    findings: Findings,
    *,
    stood: Stood | None = None,
    waited_s: float = 0.0,
    trouble: Trouble | None = None,
    ready: str = "",
) -> QuestionView:
    """Return what to show.

    Args:
        state: Of the question.
        findings: So far.
        stood: The last that was said about how far it has come.
        waited_s: Since the question was asked.
        trouble: Why it failed.
        ready: What is missing before anything can be asked; empty when nothing is.
    """
    outcome = findings.outcome
    chip = CHIPS[outcome] if outcome is not None else None
    running = state in RUNNING
    if state == "failed" and findings.record is None and not findings.slices:
        chip = CHIPS["error"]
    return QuestionView(
        button="Cancel" if running else "Ask",
        button_enabled=running or not ready,
        line=_line(state, findings, stood, waited_s, trouble) or ready,
        share=_share(stood) if running else None,
        bar=running,
        chip=chip,
        partial=chip is not None and findings.record is None,
        retry=state == "failed" and (trouble is None or trouble.retryable),
    )


def _line(
    state: State, findings: Findings, stood: Stood | None, waited_s: float, trouble: Trouble | None
) -> str:
    if state == "failed" and trouble is not None:
        kept = _kept(findings)
        return " ".join(part for part in (trouble.said, trouble.remedy, kept) if part)
    if state == "cancelled":
        return f"Cancelled. {_kept(findings)}".strip()
    if state == "preparing":
        return "Reading the image"
    if state == "uploading":
        if stood is None or not stood.total:
            return "Packing the image"
        return f"Uploading {_megabytes(stood.done)} of {_megabytes(stood.total)} MB"
    if state == "waiting":
        ahead = stood.position if stood is not None else 0
        queue = f", {ahead} before you" if ahead else ""
        return f"Waiting for the server {_clock(waited_s)}{queue}"
    if state == "receiving":
        return _working(findings, stood)
    if state == "importing":
        return "Laying the mask into the scene"
    return ""


def _working(findings: Findings, stood: Stood | None) -> str:
    if stood is None or stood.stage != "working" or not stood.total:
        return "The server is reading"
    words = [f"Slice {min(stood.done + 1, stood.total)} of {stood.total}"]
    if stood.total > 1:
        words.append(f"{len(findings.marked())} with findings")
    if stood.eta_s is not None and stood.eta_s >= 1:
        words.append(f"about {_clock(stood.eta_s)} left")
    return ", ".join(words)


def _kept(findings: Findings) -> str:
    count = len(findings.slices)
    if findings.record is not None or not count:
        return ""
    return f"What arrived before is kept: {count} slice{'s' if count > 1 else ''}, not all that were asked about."


def _share(stood: Stood | None) -> float | None:
    if stood is None or not stood.total or stood.stage not in ("uploading", "working"):
        return None
    return min(1.0, stood.done / stood.total)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f}" if size >= 1e7 else f"{size / 1e6:.1f}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"

"""An answer as the panel writes it down: slice by slice, the mask's own numbers beside the model's words."""

from __future__ import annotations

from CORESegLib.findings import Findings, SliceAnswer
from CORESegLib.geometry import Measured
from CORESegLib.outcomes import CHIPS, Chip, confidence_in_words
from CORESegLib.rich_text import for_reader, plain, slice_link, with_links
from CORESegLib.text_check import Remark, in_numbers, remarks_on

NOTICE = "AI output, not a diagnosis. Research software, not a medical device."
MAX_SHOWN = 200
WARNING = "#8c1020"


def answer_html(findings: Findings, *, axis: int, count: int, measured: Measured | None) -> str:
    """Return the answer so far.

    Args:
        findings: What has arrived.
        axis: Along which slices were asked about.
        count: Slices of the image along it.
        measured: Of the mask as it is in the scene now.
    """
    shown = sorted(findings.slices.values(), key=lambda one: (one.outcome != "present", one.index))
    parts = [_writing(index, text, axis) for index, text in sorted(findings.writing.items())[:MAX_SHOWN]]
    if measured is not None or findings.marked():
        parts.insert(0, f"<p><b>{plain(in_numbers(measured, axis=axis))}</b></p>")
    several = len(findings.marked()) > 1
    parts += [_slice(one, count=count, measured=measured, several=several) for one in shown[:MAX_SHOWN]]
    if len(shown) > MAX_SHOWN:
        parts.append(f"<p>{len(shown) - MAX_SHOWN} more slices without a finding are not shown.</p>")
    if not parts:
        return ""
    return "".join([*parts, f"<p><i>{plain(NOTICE)}</i></p>"])


def chip_style(chip: Chip) -> str:
    """Return the style sheet of a chip."""
    return (
        f"background-color: {chip.background}; color: {chip.foreground}; border: {chip.border}; "
        "border-radius: 4px; padding: 3px 8px; font-weight: bold;"
    )


def chip_text(chip: Chip, *, partial: bool) -> str:
    """Return what a chip says; it says so if it speaks of a part of the slices only."""
    return f"{chip.sign}  {chip.word.upper()}{' - so far' if partial else ''}"


def _writing(index: int, text: str, axis: int) -> str:
    return f"<p>{slice_link(f'Slice {index + 1}', axis=axis, index=index)}: {plain(text)} …</p>"


def _slice(one: SliceAnswer, *, count: int, measured: Measured | None, several: bool) -> str:
    chip = CHIPS[one.outcome]
    confidence = confidence_in_words(one.confidence, calibrated=one.calibrated)
    head = f"{slice_link(f'Slice {one.index + 1}', axis=one.axis, index=one.index)}: {plain(chip.word)}"
    words = " ".join(part for part in (one.reasoning, for_reader(one.answer), one.reason) if part)
    lines = [f"{head}{f', {confidence}' if confidence else ''}"]
    if words:
        lines.append(with_links(words, axis=one.axis, count=count))
    lines += [_remark(remark) for remark in _remarks(one, measured, several=several)]
    return f"<p>{'<br>'.join(lines)}</p>"


def _remarks(one: SliceAnswer, measured: Measured | None, *, several: bool) -> tuple[Remark, ...]:
    """Return what is said beside a slice; the mask of all slices speaks for one only where there is no other."""
    if one.mask is None:
        return remarks_on(one, None)
    remarks = remarks_on(one, measured)
    return tuple(remark for remark in remarks if "mm" not in remark.said) if several else remarks


def _remark(remark: Remark) -> str:
    if remark.warning:
        return f'<span style="color: {WARNING};"><b>⚠ {plain(remark.said)}</b></span>'
    return f"<i>{plain(remark.said)}</i>"

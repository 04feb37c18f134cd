"""Texts of the server as the panel shows them: nothing in them is markup, and slices they name become links."""

from __future__ import annotations

import html
import re

LINK = "coreseg-slice"
_MENTION = re.compile(r"\b[Ss]lices?\s+(\d{1,5})(?:\s*(?:-|–|to)\s*(\d{1,5}))?")
_BOXES = re.compile(r"\s+is located at \[\[[\d\s,\[\]]*\]\]")
_MASK = re.compile(r"The mask is <seg>\s*\.?")
_HREF = re.compile(rf"{LINK}:([0-2]):(\d{{1,5}})")


def for_reader(answer: str) -> str:
    """Return an answer without what the model writes for the machine: boxes in pixels, and its sign for the mask."""
    words = _BOXES.sub(" is marked", answer)
    return " ".join(_MASK.sub("", words).split())


def plain(text: str) -> str:
    """Return a text that shows as it is, lines kept, control characters gone."""
    shown = "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")
    return html.escape(shown).replace("\n", "<br>")


def with_links(text: str, *, axis: int, count: int) -> str:
    """Return a text in which the slices of an image that it names are links.

    Args:
        text: Numbers in it count slices from 1, as the panel does.
        axis: Along which they are counted.
        count: Slices of the image.
    """
    pieces, end = [], 0
    for match in _MENTION.finditer(text):
        number = int(match[1])
        if 1 <= number <= count:
            pieces += [plain(text[end : match.start()]), slice_link(match[0], axis=axis, index=number - 1)]
            end = match.end()
    return "".join([*pieces, plain(text[end:])])


def slice_link(words: str, *, axis: int, index: int) -> str:
    """Return words that lead to a slice."""
    return f'<a href="{LINK}:{axis}:{index}">{plain(words)}</a>'


def read_link(href: str) -> tuple[int, int] | None:
    """Return axis and number, from 0, of the slice a link leads to; None for any other link."""
    match = _HREF.fullmatch(href)
    return (int(match[1]), int(match[2])) if match else None

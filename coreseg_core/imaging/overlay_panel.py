"""The words beside an overlay: the outcome in plain language, wrapped paragraphs, a legend."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from coreseg_core.record import Outcome

Rgb = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

OUTCOME_WORDS: dict[Outcome, str] = {
    "present": "Seen and outlined",
    "absent": "Not seen on this slice",
    "uncertain": "Could not tell",
    "mismatch": "The question does not fit this image",
    "unsupported": "This model was not trained for this",
    "error": "This slice could not be answered",
}
BACKGROUND: Rgb = (17, 20, 26)
TEXT: Rgb = (226, 230, 236)
MASK: Rgb = (64, 196, 255)
BOX: Rgb = (255, 206, 84)

_FAINT: Rgb = (132, 140, 152)
_OUTCOME_COLOUR: dict[Outcome, Rgb] = {
    "present": MASK,
    "absent": (120, 214, 140),
    "uncertain": (255, 196, 84),
    "mismatch": (255, 150, 90),
    "unsupported": (190, 170, 255),
    "error": (255, 110, 110),
}
_WIDTH_PX = 420
_MARGIN_PX = 26
_HEADING_PX = 24
_BODY_PX = 17
_SMALL_PX = 13
_LINE_SPACING = 1.38
_PARAGRAPH_GAP_PX = 12
_FOOTER_PX = 76
_MAX_CHARS = 3000
_NOTICE = "CORE-Seg: research software, not a medical device"


@cache
def font_of(size_px: int) -> Font:
    """Return Pillow's own font at a size; it needs no file of this machine."""
    return ImageFont.load_default(size=size_px)


@dataclass(frozen=True)
class _Paragraph:
    """Text in one size and colour, wrapped to the panel."""

    text: str
    size_px: int
    colour: Rgb

    @property
    def line_px(self) -> int:
        return round(self.size_px * _LINE_SPACING)

    def rows(self) -> list[str]:
        return list(_wrapped(self.text, self.size_px, _WIDTH_PX - 2 * _MARGIN_PX))


def draw_panel(
    lines: Sequence[str], *, outcome: Outcome | None, min_height_px: int, with_mask: bool, with_boxes: bool
) -> Image.Image:
    """Return the panel, as high as its words need and at least `min_height_px`."""
    paragraphs = _paragraphs(lines, outcome)
    rows = [paragraph.rows() for paragraph in paragraphs]
    words_px = sum(len(part) * paragraph.line_px for paragraph, part in zip(paragraphs, rows, strict=True))
    words_px += _PARAGRAPH_GAP_PX * len(paragraphs)
    height = max(min_height_px, words_px + 2 * _MARGIN_PX + _FOOTER_PX)
    panel = Image.new("RGB", (_WIDTH_PX, height), BACKGROUND)
    draw = ImageDraw.Draw(panel)
    y = _MARGIN_PX
    for paragraph, part in zip(paragraphs, rows, strict=True):
        font = font_of(paragraph.size_px)
        for row in part:
            draw.text((_MARGIN_PX, y), row, fill=paragraph.colour, font=font, anchor="la")
            y += paragraph.line_px
        y += _PARAGRAPH_GAP_PX
    _draw_footer(draw, height, with_mask=with_mask, with_boxes=with_boxes)
    return panel


def _paragraphs(lines: Sequence[str], outcome: Outcome | None) -> list[_Paragraph]:
    paragraphs = []
    if outcome is not None:
        paragraphs.append(_Paragraph(OUTCOME_WORDS[outcome], _HEADING_PX, _OUTCOME_COLOUR[outcome]))
    left = _MAX_CHARS
    for line in lines:
        text = line if len(line) <= left else line[:left].rstrip() + " ..."
        paragraphs.append(_Paragraph(text, _BODY_PX, TEXT))
        left -= len(line)
        if left <= 0:
            break
    return paragraphs


def _wrapped(text: str, size_px: int, width_px: int) -> Iterator[str]:
    """Yield rows no wider than `width_px`; a word longer than a row is broken."""
    font = font_of(size_px)
    row = ""
    for word in text.split():
        longer = f"{row} {word}".lstrip()
        if font.getlength(longer) <= width_px:
            row = longer
            continue
        if row:
            yield row
        while font.getlength(word) > width_px:
            fits = _fitting_characters(word, font, width_px)
            yield word[:fits]
            word = word[fits:]
        row = word
    yield row


def _fitting_characters(word: str, font: Font, width_px: int) -> int:
    """Return how many characters of a long word fit into a row, at least one."""
    longer = bisect_right(range(len(word)), width_px, key=lambda n: round(font.getlength(word[:n])))
    return max(1, longer - 1)


def _draw_footer(draw: ImageDraw.ImageDraw, height: int, *, with_mask: bool, with_boxes: bool) -> None:
    """Draw what the colours mean and the notice at the foot of the panel."""
    font = font_of(_SMALL_PX)
    y = height - _FOOTER_PX + 14
    draw.line((_MARGIN_PX, y - 12, _WIDTH_PX - _MARGIN_PX, y - 12), fill=(44, 50, 60), width=1)
    x = _MARGIN_PX
    for wanted, colour, name in ((with_mask, MASK, "mask"), (with_boxes, BOX, "box the model wrote")):
        if wanted:
            draw.rectangle((x, y + 2, x + 12, y + 14), outline=colour, width=2)
            draw.text((x + 20, y + 8), name, fill=_FAINT, font=font, anchor="lm")
            x += 20 + round(font.getlength(name)) + 24
    draw.text((_MARGIN_PX, height - _MARGIN_PX), _NOTICE, fill=_FAINT, font=font, anchor="lb")

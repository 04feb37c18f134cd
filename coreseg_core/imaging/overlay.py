"""The picture a person looks at: slice, mask, boxes, and what was said about them in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion

from coreseg_core.errors import InputError
from coreseg_core.imaging.frame import boxes_to_frame
from coreseg_core.imaging.labels import write_whole
from coreseg_core.imaging.overlay_panel import BACKGROUND, BOX, MASK, TEXT, Rgb, draw_panel, font_of
from coreseg_core.imaging.slicing import SliceImage
from coreseg_core.record import Box, Outcome

_EDGE_LETTERS = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}

_LONG_SIDE_PX = 640
_PICTURE_GROUND: Rgb = (0, 0, 0)
_FILL_OPACITY = 0.28
_OUTLINE_PX = 2


def overlay_png(
    path: str | Path,
    slice_image: SliceImage,
    mask: NDArray[Any] | None,
    boxes_xyxy_px: Sequence[Box],
    lines: Sequence[str],
    *,
    outcome: Outcome | None = None,
) -> None:
    """Write a PNG with the slice on the left and the words on the right.

    Args:
        path: Where to; replaced as a whole.
        slice_image: The slice.
        mask: (h, w), non-zero where a lesion is; None for no mask.
        boxes_xyxy_px: Boxes in native slice pixels.
        lines: Paragraphs, such as the question, the reasoning, the confidence; long ones are wrapped.
        outcome: Headed in clear words when given.

    Raises:
        InputError: A mask of another size, or a place that cannot be written.
    """
    picture = _draw_slice(slice_image, mask, boxes_xyxy_px)
    panel = draw_panel(
        lines,
        outcome=outcome,
        min_height_px=picture.height,
        with_mask=mask is not None and bool(np.any(mask)),
        with_boxes=bool(boxes_xyxy_px),
    )
    height = max(picture.height, panel.height)
    sheet = Image.new("RGB", (picture.width + panel.width, height), BACKGROUND)
    sheet.paste(picture, (0, (height - picture.height) // 2))
    sheet.paste(panel, (picture.width, 0))
    write_whole(Path(path), ".png", lambda partial: sheet.save(partial, format="PNG", optimize=True))


def _draw_slice(slice_image: SliceImage, mask: NDArray[Any] | None, boxes: Sequence[Box]) -> Image.Image:
    """Return the slice, readable and in its physical proportions, with mask, boxes, letters and scale."""
    h, w = slice_image.rgb.shape[:2]
    size_wh = _display_wh(h, w, slice_image.pixel_mm)
    resampling = Image.Resampling.BICUBIC
    shown = np.asarray(Image.fromarray(slice_image.rgb).resize(size_wh, resampling), dtype=np.float32)
    if mask is not None:
        if mask.shape != (h, w):
            raise InputError(
                f"a mask of {mask.shape} pixels on a slice of {(h, w)}.", remedy="Give its own mask."
            )
        shown = _tinted(shown, _enlarged(np.asarray(mask) != 0, size_wh))
    picture = Image.fromarray(np.rint(shown).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for x0, y0, x1, y1 in boxes_to_frame(boxes, (w, h), size_wh):
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=BOX, width=_OUTLINE_PX)
    if slice_image.located:
        _draw_edge_letters(draw, size_wh, _EDGE_LETTERS[slice_image.plane])
        _draw_scale(draw, size_wh, size_wh[0] / (w * slice_image.pixel_mm[1]))
    return _padded(picture)


def _display_wh(h: int, w: int, pixel_mm: tuple[float, float]) -> tuple[int, int]:
    height_mm, width_mm = h * pixel_mm[0], w * pixel_mm[1]
    scale = max(_LONG_SIDE_PX, min(h, w, 1024)) / max(height_mm, width_mm)
    return max(1, round(width_mm * scale)), max(1, round(height_mm * scale))


def _enlarged(mask: NDArray[np.bool_], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    picture = Image.fromarray(mask.astype(np.uint8) * 255).resize(size_wh, Image.Resampling.NEAREST)
    return np.asarray(picture) > 0


def _tinted(shown: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the picture with the mask filled translucently and outlined on its inner border."""
    tint = np.array(MASK, dtype=np.float32)
    tinted = shown.copy()
    tinted[mask] = (1 - _FILL_OPACITY) * shown[mask] + _FILL_OPACITY * tint
    inner = binary_erosion(mask, iterations=_OUTLINE_PX, border_value=1)
    tinted[mask & ~inner] = tint
    return tinted


def _padded(picture: Image.Image) -> Image.Image:
    """Return a small picture in the middle of a black field of at least the usual long side."""
    width, height = max(picture.width, _LONG_SIDE_PX), max(picture.height, _LONG_SIDE_PX)
    if (width, height) == picture.size:
        return picture
    field = Image.new("RGB", (width, height), _PICTURE_GROUND)
    field.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    return field


def _draw_edge_letters(draw: ImageDraw.ImageDraw, size_wh: tuple[int, int], letters: str) -> None:
    width, height = size_wh
    places = (
        (10, height // 2, "lm"),
        (width - 10, height // 2, "rm"),
        (width // 2, 8, "mt"),
        (width // 2, height - 8, "mb"),
    )
    font = font_of(18)
    for (x, y, anchor), letter in zip(places, letters, strict=True):
        draw.text((x, y), letter, fill=TEXT, font=font, anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0))


def _draw_scale(draw: ImageDraw.ImageDraw, size_wh: tuple[int, int], px_per_mm: float) -> None:
    width, height = size_wh
    length_mm = next((mm for mm in (50, 20, 10, 5, 2, 1) if mm * px_per_mm <= width / 4), 0)
    if not length_mm:
        return
    y, x0 = height - 16, 14
    x1 = x0 + length_mm * px_per_mm
    draw.line((x0 - 1, y, x1 + 1, y), fill=(0, 0, 0), width=5)
    draw.line((x0, y, x1, y), fill=TEXT, width=3)
    font = font_of(13)
    draw.text(
        (x0, y - 6),
        f"{length_mm} mm",
        fill=TEXT,
        font=font,
        anchor="lb",
        stroke_width=2,
        stroke_fill=(0, 0, 0),
    )

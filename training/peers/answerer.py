"""A system that answers with boxes, and a segmenter that draws what they hold, as one answerer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coreseg_core.evaluation.pictures import Picture
from coreseg_core.imaging.frame import boxes_to_native, frame_wh, resize_rgb
from coreseg_core.inference.confidence import box_mask_iou
from coreseg_core.record import ReaderPrompts, SliceFinding
from training.baselines.boxes import BoxSegmenter
from training.peers.config import PeerConfig
from training.peers.formats import READERS, Marked, Size

Asker = Callable[[NDArray[np.uint8], str], str]


@dataclass(frozen=True)
class BoxAnswerer:
    """Asks a system for boxes and lets the segmenter, as published, draw them; its masks are united.

    A box it gives is drawn, "nothing" is a denial, and what cannot be read is an error, which the paper counts as a
    failure.

    Attributes:
        ask: From picture and prompt to the answer's text.
        config: How it is asked and read.
        segmenter: Draws what a box holds.
    """

    ask: Asker
    config: PeerConfig
    segmenter: BoxSegmenter

    def answer(
        self, rgb: NDArray[np.uint8], questions: Sequence[str], *, pixel_mm: tuple[float, float]
    ) -> list[SliceFinding]:
        """Return one finding for each question."""
        height, width = rgb.shape[:2]
        shown_wh = shown_size(self.config, height=height, width=width, pixel_mm=pixel_mm)
        shown = resize_rgb(rgb, shown_wh)
        picture = Picture(rgb=rgb, mask=np.zeros((height, width), dtype=bool), pixel_mm=pixel_mm)
        return [self._finding(picture, shown, shown_wh, question) for question in questions]

    def _finding(
        self, picture: Picture, shown: NDArray[np.uint8], shown_wh: Size, question: str
    ) -> SliceFinding:
        text = self.ask(shown, filled_prompt(self.config, question, shown_wh))
        marked = READERS[self.config.answer](text, shown_wh)
        if marked is None or not marked.boxes_xyxy_px:
            return undrawn(picture.mask.shape, text, denied=marked is not None)
        mask, boxes = self._drawn(picture, marked, shown_wh)
        return SliceFinding(
            axis=2,
            index=0,
            outcome="present",
            mask=mask,
            answer_text=text,
            boxes_xyxy_px=boxes,
            box_frame_wh=(mask.shape[1], mask.shape[0]),
            box_mask_iou=box_mask_iou(boxes, mask),
        )

    def _drawn(
        self, picture: Picture, marked: Marked, shown_wh: Size
    ) -> tuple[NDArray[np.bool_], tuple[tuple[int, int, int, int], ...]]:
        height, width = picture.mask.shape
        boxes = boxes_to_native(marked.boxes_xyxy_px, (width, height), shown_wh)
        mask = np.zeros_like(picture.mask)
        for box, shown_box in zip(boxes, marked.boxes_xyxy_px, strict=True):
            inside = tuple(
                (x * width / shown_wh[0], y * height / shown_wh[1])
                for x, y in marked.points_xy_px
                if shown_box[0] <= x < shown_box[2] and shown_box[1] <= y < shown_box[3]
            )
            prompts = ReaderPrompts(
                points_xy_px=inside, points_inside=(True,) * len(inside), boxes_xyxy_px=(box,)
            )
            mask |= self.segmenter.prompted(picture, prompts)
        return mask, boxes


def filled_prompt(config: PeerConfig, question: str, shown_wh: Size) -> str:
    """Return what a system is asked about a picture that it is shown in a size (W, H)."""
    # Not `format`: a question may hold braces.
    prompt = config.prompt.replace("{question}", question)
    return prompt.replace("{width}", str(shown_wh[0])).replace("{height}", str(shown_wh[1]))


def undrawn(shape_hw: tuple[int, ...], text: str, *, denied: bool) -> SliceFinding:
    """Return the finding of an answer that draws nothing: a denial, or what cannot be read."""
    return SliceFinding(
        axis=2,
        index=0,
        outcome="absent" if denied else "error",
        mask=np.zeros(shape_hw, dtype=bool),
        answer_text=text,
        reason="" if denied else "The answer cannot be read.",
    )


def shown_size(config: PeerConfig, *, height: int, width: int, pixel_mm: tuple[float, float]) -> Size:
    """Return the size (W, H) in which a system is shown a picture."""
    if config.square:
        return config.long_side_px, config.long_side_px
    return frame_wh(
        height,
        width,
        pixel_mm,
        min_long_side_px=min(config.long_side_px, 8 * config.multiple_px),
        max_long_side_px=config.long_side_px,
        multiple=config.multiple_px,
    )

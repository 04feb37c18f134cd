"""LiteMedSAM with a box: the true one is the ceiling of all that prompt it, the whole picture its floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from coreseg_core import claims
from coreseg_core.evaluation.metrics import bounding_box
from coreseg_core.evaluation.pictures import Mask, Picture
from coreseg_core.evaluation.rows import Row
from coreseg_core.models.segmenter import SamSegmenter
from coreseg_core.record import Box, ReaderPrompts

Source = Literal["true", "each_lesion", "whole"]


class BoxSegmenter:
    """The segmenter as published: one encode a picture and one mask a box, whatever asks for them.

    Args:
        segmenter: With its published decoder, not the one trained here.
    """

    def __init__(self, segmenter: SamSegmenter) -> None:
        self._segmenter = segmenter
        self._picture: Picture | None = None
        self._masks: dict[Box, Mask] = {}

    def masks(self, picture: Picture, boxes: Sequence[Box]) -> list[Mask]:
        """Return the (h, w) mask of each box."""
        if picture is not self._picture:
            self._picture, self._masks = picture, {}
        missing = [box for box in dict.fromkeys(boxes) if box not in self._masks]
        if missing:
            self._masks.update(zip(missing, self._draw(picture, missing), strict=True))
        return [self._masks[box] for box in boxes]

    @torch.inference_mode()
    def _draw(self, picture: Picture, boxes: Sequence[Box]) -> list[Mask]:
        square, view = self._segmenter.prepare(picture.rgb, pixel_mm=picture.pixel_mm)
        embedding = self._segmenter.encode(square[None].to(self._segmenter.device))
        tokens = [self._segmenter.reader_tokens(ReaderPrompts(boxes_xyxy_px=(box,)), view) for box in boxes]
        logits, _ = self._segmenter.decode(embedding.expand(len(boxes), -1, -1, -1), torch.cat(tokens))
        return list((view.logits_to_native(logits) > 0).cpu().numpy())


@dataclass(frozen=True)
class BoxPrompt:
    """The segmenter prompted by a box.

    Attributes:
        source: "true" is one box round everything outlined, "each_lesion" one box a lesion with the masks
            united, "whole" the whole picture.
    """

    segmenter: BoxSegmenter
    source: Source

    def mask(self, picture: Picture, row: Row) -> Mask:
        """Return the (h, w) union of the masks of all boxes; empty without a box."""
        united = np.zeros(picture.mask.shape, dtype=bool)
        for drawn in self.segmenter.masks(picture, self._boxes(picture)):
            united |= drawn
        return united

    def _boxes(self, picture: Picture) -> tuple[Box, ...]:
        if self.source == "whole":
            height, width = picture.mask.shape
            return ((0, 0, width, height),)
        if self.source == "each_lesion":
            return claims.boxes(picture.mask)
        box = bounding_box(picture.mask)
        return () if box is None else (box,)

"""LiteMedSAM with a box: the true one is the ceiling of all that prompt it, the whole picture its floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from coreseg_core import claims
from coreseg_core.evaluation.metrics import bounding_box
from coreseg_core.evaluation.pictures import Mask, Picture
from coreseg_core.evaluation.rows import Row
from coreseg_core.models.segmenter import Segmenter
from coreseg_core.record import Box, ReaderPrompts

Source = Literal["true", "each_lesion", "whole"]


@dataclass(frozen=True)
class BoxPrompt:
    """The segmenter as published, prompted by a box.

    Attributes:
        segmenter: With its published decoder, not the one trained here.
        source: "true" is one box round everything outlined, "each_lesion" one box a lesion with the masks
            united, "whole" the whole picture.
    """

    segmenter: Segmenter
    source: Source

    def mask(self, picture: Picture, row: Row) -> Mask:
        """Return the (h, w) union of the masks of all boxes; empty without a box."""
        boxes = self._boxes(picture)
        united = np.zeros(picture.mask.shape, dtype=bool)
        if not boxes:
            return united
        square, view = self.segmenter.prepare(picture.rgb, pixel_mm=picture.pixel_mm)
        with torch.inference_mode():
            embedding = self.segmenter.encode(square[None])
            for box in boxes:
                tokens = self.segmenter.reader_tokens(ReaderPrompts(boxes_xyxy_px=(box,)), view)
                logits, _ = self.segmenter.decode(embedding, tokens)
                united |= (view.logits_to_native(logits)[0] > 0).cpu().numpy()
        return united

    def _boxes(self, picture: Picture) -> tuple[Box, ...]:
        if self.source == "whole":
            height, width = picture.mask.shape
            return ((0, 0, width, height),)
        if self.source == "each_lesion":
            return claims.boxes(picture.mask)
        box = bounding_box(picture.mask)
        return () if box is None else (box,)

"""LISA as an answerer: it brings a SAM of its own, so no box stands between its answer and the mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coreseg_core.imaging.frame import resize_rgb
from coreseg_core.models.lisa import Lisa, LisaAnswer
from coreseg_core.record import SliceFinding
from training.peers.answerer import filled_prompt, shown_size, undrawn
from training.peers.config import PeerConfig
from training.peers.formats import denies


@dataclass(frozen=True)
class LisaAnswerer:
    """Asks LISA; an answer without `[SEG]` is a denial if it says so, and else cannot be read.

    Attributes:
        lisa: The model.
        config: How it is asked.
    """

    lisa: Lisa
    config: PeerConfig

    def answer(
        self, rgb: NDArray[np.uint8], questions: Sequence[str], *, pixel_mm: tuple[float, float]
    ) -> list[SliceFinding]:
        """Return one finding for each question."""
        height, width = rgb.shape[:2]
        shown_wh = shown_size(self.config, height=height, width=width, pixel_mm=pixel_mm)
        answers = self.lisa.answer(
            rgb,
            [filled_prompt(self.config, question, shown_wh) for question in questions],
            shown=resize_rgb(rgb, shown_wh),
            max_tokens=self.config.max_tokens,
        )
        return [_finding(one, (height, width)) for one in answers]


def _finding(answer: LisaAnswer, shape_hw: tuple[int, int]) -> SliceFinding:
    if answer.mask is None:
        return undrawn(shape_hw, answer.text, denied=denies(answer.text))
    return SliceFinding(axis=2, index=0, outcome="present", mask=answer.mask, answer_text=answer.text)

"""A loaded model as an answerer: free decoding, every question about a picture from one encoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coreseg_core.evaluation.pictures import CtDisplay
from coreseg_core.inference import SliceSegmenter
from coreseg_core.record import Query, ReasoningMode, SliceFinding


@dataclass(frozen=True)
class ModelAnswerer:
    """Asks a loaded model, in one way of reasoning.

    Whether words alone may refuse a question is the segmenter's own setting (`check_words`): switched off,
    the language model answers everything itself, which is what its specificity should be measured on.
    """

    segmenter: SliceSegmenter
    reasoning: ReasoningMode = "brief"

    @property
    def ct(self) -> CtDisplay:
        """How the model is served slices of CT volumes."""
        return CtDisplay.of(self.segmenter.answering.model.preset)

    def answer(
        self, rgb: NDArray[np.uint8], questions: Sequence[str], *, pixel_mm: tuple[float, float]
    ) -> Sequence[SliceFinding]:
        """Return one finding for each question."""
        asked = [Query(text=question, reasoning=self.reasoning) for question in questions]
        return self.segmenter.answer_picture(rgb, asked, pixel_mm=pixel_mm)

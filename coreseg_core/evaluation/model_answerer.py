"""A loaded model as an answerer: free decoding, every question about a picture from one encoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coreseg_core.evaluation.pictures import CtDisplay
from coreseg_core.imaging.pictures import picture_slice
from coreseg_core.inference import SliceSegmenter
from coreseg_core.inference.votes import with_votes
from coreseg_core.record import Query, ReasoningMode, SliceFinding


@dataclass(frozen=True)
class ModelAnswerer:
    """Asks a loaded model, in one way of reasoning.

    Whether words alone may refuse a question is the segmenter's own setting (`check_words`): switched off,
    the language model answers everything itself, which is what its specificity should be measured on.

    Attributes:
        segmenter: The model.
        reasoning: How much reasoning is asked for.
        votes: Answers that are sampled beside the likeliest one, for its confidence; 0 takes the model's own estimates.
    """

    segmenter: SliceSegmenter
    reasoning: ReasoningMode = "brief"
    votes: int = 0

    @property
    def ct(self) -> CtDisplay:
        """How the model is served slices of CT volumes."""
        return CtDisplay.of(self.segmenter.answering.model.preset)

    def answer(
        self, rgb: NDArray[np.uint8], questions: Sequence[str], *, pixel_mm: tuple[float, float]
    ) -> Sequence[SliceFinding]:
        """Return one finding for each question."""
        asked = [Query(text=question, reasoning=self.reasoning) for question in questions]
        findings = self.segmenter.answer_picture(rgb, asked, pixel_mm=pixel_mm)
        if not self.votes:
            return findings
        answering = self.segmenter.answering
        prepared = answering.prepare(picture_slice(rgb, pixel_mm=pixel_mm))
        return [
            with_votes(finding, answering.sampled(prepared, query, count=self.votes))
            for finding, query in zip(findings, asked, strict=True)
        ]

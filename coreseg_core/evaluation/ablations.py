"""The same model with one of its senses covered: what it still scores, it scores without that sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coreseg_core.evaluation.run import Answerer
from coreseg_core.record import SliceFinding

BLIND_QUESTION = "Is there a lesion here, and where?"
BLIND_GREY = 128


@dataclass(frozen=True)
class TextBlind:
    """Asks one and the same question whatever was asked."""

    answerer: Answerer
    question: str = BLIND_QUESTION

    def answer(
        self, rgb: NDArray[np.uint8], questions: Sequence[str], *, pixel_mm: tuple[float, float]
    ) -> Sequence[SliceFinding]:
        """Return the finding of the one question as often as there are questions."""
        return [*self.answerer.answer(rgb, [self.question], pixel_mm=pixel_mm)] * len(questions)


@dataclass(frozen=True)
class ImageBlind:
    """Shows an evenly grey picture whatever was shown."""

    answerer: Answerer
    grey: int = BLIND_GREY

    def answer(
        self, rgb: NDArray[np.uint8], questions: Sequence[str], *, pixel_mm: tuple[float, float]
    ) -> Sequence[SliceFinding]:
        """Return what is answered about a grey picture of the same size."""
        return self.answerer.answer(np.full_like(rgb, self.grey), questions, pixel_mm=pixel_mm)

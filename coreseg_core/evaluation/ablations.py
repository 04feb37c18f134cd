"""The same model with one of its senses covered: what it still scores, it scores without that sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coreseg_core.evaluation.ask import Ask
from coreseg_core.evaluation.run import Answerer
from coreseg_core.record import SliceFinding

BLIND_QUESTION = "Is there a lesion here, and where?"
BLIND_GREY = 0
"""Black: no other grey survives resizing without rounding noise, which normalisation would blow up to a picture."""


def text_blind(asks: Sequence[Ask]) -> tuple[Ask, ...]:
    """Return the asks with one and the same question whatever was asked; what is right stays as it was."""
    return tuple(replace(ask, question=BLIND_QUESTION) for ask in asks)


@dataclass(frozen=True)
class ImageBlind:
    """Shows a black picture whatever was shown."""

    answerer: Answerer
    grey: int = BLIND_GREY

    def answer(
        self, rgb: NDArray[np.uint8], questions: Sequence[str], *, pixel_mm: tuple[float, float]
    ) -> Sequence[SliceFinding]:
        """Return what is answered about that picture at the same size."""
        return self.answerer.answer(np.full_like(rgb, self.grey), questions, pixel_mm=pixel_mm)

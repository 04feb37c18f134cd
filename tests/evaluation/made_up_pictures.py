"""Made-up rows and an answerer whose scores are known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core.record import Outcome, SliceFinding

SIZE_HW = (60, 80)


def disc(height: int, width: int, *, x: float, y: float, radius: float) -> NDArray[np.bool_]:
    """Return a filled circle."""
    rows, columns = np.mgrid[:height, :width]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def row_values(number: int, **changes: Any) -> dict[str, Any]:
    """Return the JSON values of one row."""
    values = {
        "id": f"row{number}",
        "split": "val",
        "subset": "kvasir",
        "image": f"images/{number}.png",
        "mask": f"masks/{number}.png",
        "modality": "endoscopy",
        "anatomy": "colon",
        "disease": "polyp",
        "target": "polyp",
        "patient": f"p{number}",
        "area_frac": 0.1,
        "weights": "yes",
    }
    return {**values, **changes}


@dataclass(frozen=True)
class Oracle:
    """Finds every bright blob; questions that hold a word get an outcome of their own; counts calls."""

    outcome_of_word: dict[str, Outcome]
    calls: list[int]
    confidence: float = 0.9
    reasoning: str = ""

    def answer(
        self, rgb: NDArray[np.uint8], questions: Sequence[str], *, pixel_mm: tuple[float, float]
    ) -> list[SliceFinding]:
        """Return one finding a question."""
        self.calls.append(len(questions))
        return [self._finding(rgb, question) for question in questions]

    def _finding(self, rgb: NDArray[np.uint8], question: str) -> SliceFinding:
        mask = rgb[..., 0] > 128
        outcome: Outcome = "present" if mask.any() else "absent"
        for word, other in self.outcome_of_word.items():
            if word in question:
                outcome = other
        answer = "<answer>The question does not fit: this is endoscopy of colon.</answer>"
        return SliceFinding(
            axis=2,
            index=0,
            outcome=outcome,
            mask=mask if outcome == "present" else np.zeros_like(mask),
            confidence=self.confidence,
            reasoning=self.reasoning,
            answer_text=answer if outcome == "mismatch" else "",
        )

"""Ask a model every question of a manifest, picture by picture, and score what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from coreseg_core.claims import Facts, measure
from coreseg_core.errors import Cancelled, CoreSegError, InputError
from coreseg_core.evaluation.ask import Ask
from coreseg_core.evaluation.pictures import Picture, load_picture, moved
from coreseg_core.evaluation.report import Report
from coreseg_core.evaluation.rows import Row
from coreseg_core.evaluation.score import Score, score
from coreseg_core.record import SliceFinding

Progress = Callable[[int, int], None]


class Answerer(Protocol):
    """Whatever answers questions about a picture."""

    def answer(
        self, rgb: NDArray[np.uint8], questions: Sequence[str], *, pixel_mm: tuple[float, float]
    ) -> Sequence[SliceFinding]:
        """Return one finding for each question, all about one picture, so that it is encoded once.

        Args:
            rgb: (h, w, 3) picture as shown on a display.
            questions: At least one.
            pixel_mm: Size of a pixel as (row, column).
        """


def evaluate(
    answerer: Answerer, asks: Sequence[Ask], *, progress: Progress | None = None, seed: int = 0
) -> Report:
    """Return the report on all asks.

    Args:
        answerer: The model.
        asks: Questions, in any order; those about one picture are put together.
        progress: Called with pictures done and pictures in all.
        seed: Of the bootstrap intervals.

    Raises:
        InputError: No asks, a picture that cannot be read, or a finding that does not fit its picture.
        Cancelled: From `progress` or the answerer.
    """
    return Report(scores=score_all(answerer, asks, progress=progress), seed=seed)


def score_all(
    answerer: Answerer, asks: Sequence[Ask], *, progress: Progress | None = None
) -> tuple[Score, ...]:
    """Return the scores of all asks, in their order."""
    if not asks:
        raise InputError("There is nothing to ask: 0 questions.", remedy="Choose a split that has rows.")
    by_picture: dict[tuple[object, ...], list[int]] = {}
    for number, ask in enumerate(asks):
        by_picture.setdefault(ask.picture, []).append(number)
    scores: dict[int, Score] = {}
    for done, numbers in enumerate(by_picture.values()):
        if progress is not None:
            progress(done, len(by_picture))
        about = [asks[number] for number in numbers]
        scores.update(zip(numbers, _score_picture(answerer, about), strict=True))
    if progress is not None:
        progress(len(by_picture), len(by_picture))
    return tuple(scores[number] for number in range(len(asks)))


def _score_picture(answerer: Answerer, asks: Sequence[Ask]) -> list[Score]:
    picture = load_picture(asks[0].shown)
    if asks[0].shift_seed is not None:
        picture = moved(picture, seed=asks[0].shift_seed)
    facts = measure(picture.mask, picture.rgb)
    findings = _answers(answerer, picture, [ask.question for ask in asks])
    return [
        score(
            ask,
            finding,
            truth=picture.mask,
            facts=_facts_of_row(ask.row) if ask.variant == "shuffled" else facts,
        )
        for ask, finding in zip(asks, findings, strict=True)
    ]


def _facts_of_row(row: Row) -> Facts | None:
    picture = load_picture(row)
    return measure(picture.mask, picture.rgb)


def _answers(answerer: Answerer, picture: Picture, questions: Sequence[str]) -> Sequence[SliceFinding]:
    try:
        findings = answerer.answer(picture.rgb, questions, pixel_mm=picture.pixel_mm)
    except Cancelled:
        raise
    except CoreSegError as error:
        # A model that breaks on one picture has failed there; the others still count.
        nothing = np.zeros(picture.mask.shape, dtype=bool)
        failed = SliceFinding(axis=2, index=0, outcome="error", mask=nothing, reason=error.reason)
        return [failed] * len(questions)
    if len(findings) != len(questions):
        raise InputError(
            f"{len(findings)} findings came back for {len(questions)} questions.",
            remedy="An answerer gives one finding for each question.",
        )
    for finding in findings:
        if finding.mask.shape != picture.mask.shape:
            raise InputError(
                f"A finding of {finding.mask.shape} pixels on a picture of {picture.mask.shape}.",
                remedy="An answerer gives masks in the pixels of the picture it was shown.",
            )
    return findings

"""Ask a model every question of a manifest, picture by picture, and score what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from coreseg_core.claims import Facts, measure
from coreseg_core.errors import Cancelled, CoreSegError, InputError
from coreseg_core.evaluation.ask import Ask
from coreseg_core.evaluation.pictures import EVERY_REGION, CtDisplay, Picture, load_picture, moved
from coreseg_core.evaluation.report import Report
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
    answerer: Answerer,
    asks: Sequence[Ask],
    *,
    ct: CtDisplay = EVERY_REGION,
    progress: Progress | None = None,
    seed: int = 0,
) -> Report:
    """Return the report on all asks.

    Args:
        answerer: The model.
        asks: Questions, in any order; those about one picture are put together.
        ct: How the model is served slices of CT volumes.
        progress: Called with pictures done and pictures in all.
        seed: Of the bootstrap intervals.

    Raises:
        InputError: No asks, a picture that cannot be read, or a finding that does not fit its picture.
        Cancelled: From `progress` or the answerer.
    """
    return Report(scores=score_all(answerer, asks, ct=ct, progress=progress), seed=seed)


def score_all(
    answerer: Answerer,
    asks: Sequence[Ask],
    *,
    ct: CtDisplay = EVERY_REGION,
    progress: Progress | None = None,
) -> tuple[Score, ...]:
    """Return the scores of all asks, in their order."""
    if not asks:
        raise InputError("There is nothing to ask: 0 questions.", remedy="Choose a split that has rows.")
    groups = asks_by_picture(asks)
    scores: dict[int, Score] = {}
    for done, numbers in enumerate(groups):
        if progress is not None:
            progress(done, len(groups))
        about = [asks[number] for number in numbers]
        for picture, places in shown_pictures(about, ct=ct):
            together = [about[place] for place in places]
            findings = answers(answerer, picture, [ask.question for ask in together])
            found = score_findings(together, findings, picture, ct=ct)
            scores.update(zip((numbers[place] for place in places), found, strict=True))
    if progress is not None:
        progress(len(groups), len(groups))
    return tuple(scores[number] for number in range(len(asks)))


def asks_by_picture(asks: Sequence[Ask]) -> list[list[int]]:
    """Return the numbers of the asks in groups about one picture, in the order the pictures first appear."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, ask in enumerate(asks):
        groups.setdefault(ask.picture, []).append(number)
    return list(groups.values())


def shown_pictures(asks: Sequence[Ask], *, ct: CtDisplay) -> list[tuple[Picture, list[int]]]:
    """Return what is shown for asks about one picture, each with the places of its asks in the list.

    It is one picture but for CT volumes, where the question chooses the window.
    """
    by_region: dict[str | None, list[int]] = {}
    for place, ask in enumerate(asks):
        by_region.setdefault(ct.region(ask.question), []).append(place)
    shown: list[tuple[Picture, list[int]]] = []
    for places in by_region.values():
        picture = _picture(asks[places[0]], ct=ct)
        same = next((known for seen, known in shown if np.array_equal(seen.rgb, picture.rgb)), None)
        if same is None:
            shown.append((picture, places))
        else:
            same += places
    return [(picture, sorted(places)) for picture, places in shown]


def score_findings(
    asks: Sequence[Ask], findings: Sequence[SliceFinding], picture: Picture, *, ct: CtDisplay
) -> list[Score]:
    """Return what the answers about one picture are worth."""
    facts = measure(picture.mask, picture.rgb)
    return [
        score(
            ask,
            finding,
            truth=picture.mask,
            facts=_facts_of_row(ask, ct=ct) if ask.variant == "shuffled" else facts,
        )
        for ask, finding in zip(asks, findings, strict=True)
    ]


def _picture(ask: Ask, *, ct: CtDisplay) -> Picture:
    picture = load_picture(ask.shown, ct=ct, question=ask.question)
    return picture if ask.shift_seed is None else moved(picture, seed=ask.shift_seed)


def _facts_of_row(ask: Ask, *, ct: CtDisplay) -> Facts | None:
    picture = load_picture(ask.row, ct=ct, question=ask.question)
    return measure(picture.mask, picture.rgb)


def answers(answerer: Answerer, picture: Picture, questions: Sequence[str]) -> Sequence[SliceFinding]:
    """Return one finding for each question; a question that stands there twice is asked once.

    Raises:
        InputError: A finding that does not fit the picture.
        Cancelled: From the answerer.
    """
    different = list(dict.fromkeys(questions))
    found = dict(zip(different, _answers(answerer, picture, different), strict=True))
    return [found[question] for question in questions]


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

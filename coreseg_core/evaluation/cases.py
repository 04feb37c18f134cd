"""The best, the median and the worst answers of a run, as pictures a person looks at."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coreseg_core.evaluation.pictures import EVERY_REGION, CtDisplay
from coreseg_core.evaluation.run import Answerer, answers, shown_pictures
from coreseg_core.evaluation.score import Score
from coreseg_core.imaging import boxes_to_native, overlay_png
from coreseg_core.imaging.pictures import picture_slice

EACH = 3


@dataclass(frozen=True, kw_only=True)
class Case:
    """One answer to look at.

    Attributes:
        rank: `best`, `median` or `worst`.
        dice: Of the mask.
        found_png: What was answered, as a PNG file.
        truth_png: What is true.
    """

    rank: str
    dice: float
    found_png: bytes
    truth_png: bytes


def chosen_cases(scores: Sequence[Score], *, each: int = EACH) -> list[tuple[str, Score]]:
    """Return the best, median and worst answers to questions that a mask answers; few answers are shown once."""
    ranked = sorted(
        (score for score in scores if score.ask.primary and score.ask.kind == "present"),
        key=lambda score: -score.dice,
    )
    if len(ranked) <= 3 * each:
        return [("best" if score.dice >= 0.5 else "worst", score) for score in ranked]
    middle = (len(ranked) - each) // 2
    parts = {
        "best": ranked[:each],
        "median": ranked[middle : middle + each],
        "worst": ranked[len(ranked) - each :],
    }
    return [(rank, score) for rank, part in parts.items() for score in part]


def draw_cases(
    answerer: Answerer, scores: Sequence[Score], *, ct: CtDisplay = EVERY_REGION, each: int = EACH
) -> list[Case]:
    """Return the chosen answers drawn; each is asked once more, since a run keeps no masks.

    Args:
        answerer: Who answered.
        scores: Of the run.
        ct: How slices of CT volumes are shown.
        each: Cases of each rank.
    """
    return [_drawn(answerer, rank, score, ct) for rank, score in chosen_cases(scores, each=each)]


def _drawn(answerer: Answerer, rank: str, score: Score, ct: CtDisplay) -> Case:
    ((picture, _),) = shown_pictures([score.ask], ct=ct)
    (finding,) = answers(answerer, picture, [score.ask.question])
    image = picture_slice(picture.rgb, pixel_mm=picture.pixel_mm)
    height, width = picture.mask.shape
    framed = finding.boxes_xyxy_px if min(finding.box_frame_wh) > 0 else ()
    boxes = boxes_to_native(framed, (width, height), finding.box_frame_wh) if framed else ()
    said = [score.ask.question, finding.reasoning, f"Dice {score.dice:.2f}"]
    with tempfile.TemporaryDirectory() as folder:
        found, truth = Path(folder) / "found.png", Path(folder) / "truth.png"
        overlay_png(
            found, image, finding.mask, boxes, [line for line in said if line], outcome=finding.outcome
        )
        overlay_png(truth, image, picture.mask, (), ["What is true."])
        return Case(rank=rank, dice=score.dice, found_png=found.read_bytes(), truth_png=truth.read_bytes())

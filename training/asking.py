"""Which question is asked of which view while learning by reward, and what is right for it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from coreseg_core.claims import boxes
from coreseg_core.evaluation.ask import ACCEPTED
from coreseg_core.evaluation.rows import Row
from coreseg_core.imaging import boxes_to_frame
from coreseg_core.models.preset import FrameSpec
from coreseg_core.record import REASONING_MODES, ReasoningMode
from training.rewards import Truth
from training.samples import drawing_chances, frame_size
from training.shown import Size
from training.views import EmbeddedView, ViewStore, shown_rows
from training.wording import DEFAULT_MIX, Kind, KindMix
from training.written import question_about, require_usable_words


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question about one view.

    Attributes:
        view: What is looked at.
        question: As it is typed.
        mode: How much reasoning is asked for.
        kind: Why it is answerable or not.
        truth: What is right.
        frame_wh: Size of the picture that answers count boxes in.
        seed: Of the answers that are drawn for it.
    """

    view: EmbeddedView
    question: str
    mode: ReasoningMode
    kind: Kind
    truth: Truth
    frame_wh: Size
    seed: int = 0


def ask_about(
    rng: random.Random,
    row: Row,
    view: EmbeddedView,
    frame: FrameSpec,
    *,
    kind: Kind | None = None,
    mode: ReasoningMode,
    mix: KindMix = DEFAULT_MIX,
) -> Asked:
    """Return a question about a view of a row: the row's own where it brings one, unless another kind is given."""
    height, width = view.mask.shape
    frame_wh = frame_size(view, frame)
    question, _ = question_about(rng, row, kind=kind, mix=mix)
    right: frozenset[str] = frozenset(ACCEPTED[question.kind])
    found = boxes(view.mask) if question.kind == "present" else ()
    truth = Truth(right=right, boxes_xyxy_px=boxes_to_frame(found, (width, height), frame_wh), mask=view.mask)
    return Asked(
        view=view, question=question.text, mode=mode, kind=question.kind, truth=truth, frame_wh=frame_wh
    )


class QuestionSource:
    """Draws questions about views; each depends on the seed and its number alone, whichever process asks it.

    Args:
        store: Embedded views.
        rows: Manifest rows by id.
        frame: Bounds of the frames.
        mix: Shares of the kinds of question.
        modes: Shares of full, brief and no reasoning.
        balance: Exponent on a subset's size: 1 draws pictures evenly, 0 draws subsets evenly.
        lesion_free_weight: How much oftener than others a lesion-free picture is drawn.
        seed: Of every draw.
    """

    def __init__(
        self,
        store: ViewStore,
        rows: Mapping[str, Row],
        *,
        frame: FrameSpec,
        mix: KindMix,
        modes: tuple[float, float, float],
        balance: float,
        lesion_free_weight: float,
        seed: int,
    ) -> None:
        require_usable_words(shown_rows(store, rows))
        self._store, self._rows, self._frame = store, rows, frame
        self._mix, self._modes, self._seed = mix, modes, seed
        self._chances = drawing_chances(store, rows, balance=balance, lesion_free_weight=lesion_free_weight)

    def asked(self, number: int) -> Asked:
        """Return question number `number`."""
        drawn = np.random.default_rng([self._seed, number])
        view = self._store[int(drawn.choice(len(self._store), p=self._chances))]
        rng = random.Random(f"asked/{self._seed}/{number}")
        row = self._rows[view.key.row_id]
        mode = rng.choices(REASONING_MODES, weights=self._modes)[0]
        asked = ask_about(rng, row, view, self._frame, mode=mode, mix=self._mix)
        return replace(asked, seed=int(drawn.integers(2**62)))

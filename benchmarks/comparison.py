"""Whole answers beside the plain baseline: a first question about a slice, and a second one about the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.baseline import PlainBaseline
from benchmarks.case import Case, prepare, reply_to
from benchmarks.clock import Times, time_in_turns
from benchmarks.machine import Machine
from benchmarks.stages import fresh_segmenter
from coreseg_core.inference.segment import SliceSegmenter
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.record import Query

Which = Literal["first", "second"]
TARGETS: dict[Which, float] = {"first": 1.3, "second": 3.0}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One question, answered by both.

    Attributes:
        which: First or second question about the slice.
        ours: Times of the program.
        plain: Times of the baseline.
        tokens: Tokens that both wrote behind the opening tag.
        same_tokens: Whether they were the same ones.
        mask_dice: Overlap of the two masks; 1 where both are empty.
        outcome: What the program answered.
        encodes: Slices that the program encoded for one such question.
    """

    which: Which
    ours: Times
    plain: Times
    tokens: int
    same_tokens: bool
    mask_dice: float
    outcome: str
    encodes: int

    @property
    def speedup(self) -> float:
        """Median time of the baseline over that of the program."""
        return self.plain.median_ms / self.ours.median_ms

    @property
    def best_speedup(self) -> float:
        """The same of the best times."""
        return self.plain.best_ms / self.ours.best_ms

    @property
    def reached(self) -> bool:
        """Whether the median reaches the target."""
        return self.speedup >= TARGETS[self.which]

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {
            "question": self.which,
            "ours_best_ms": self.ours.best_ms,
            "ours_median_ms": self.ours.median_ms,
            "plain_best_ms": self.plain.best_ms,
            "plain_median_ms": self.plain.median_ms,
            "speedup_best": self.best_speedup,
            "speedup_median": self.speedup,
            "target": TARGETS[self.which],
            "reached": self.reached,
            "tokens": self.tokens,
            "same_tokens": self.same_tokens,
            "mask_dice": self.mask_dice,
            "outcome": self.outcome,
            "encodes": self.encodes,
        }


def compare(
    model: CoreSegModel, baseline: PlainBaseline, machine: Machine, case: Case, *, repeats: int
) -> list[Comparison]:
    """Return the comparison for the first and the second question about one slice."""
    warm = fresh_segmenter(model)
    _ask(warm, case, case.first)
    return [
        _compare(model, baseline, machine, case, which="first", warm=None, repeats=repeats),
        _compare(model, baseline, machine, case, which="second", warm=warm, repeats=repeats),
    ]


def _compare(
    model: CoreSegModel,
    baseline: PlainBaseline,
    machine: Machine,
    case: Case,
    *,
    which: Which,
    warm: SliceSegmenter | None,
    repeats: int,
) -> Comparison:
    """Return one row; `warm` has answered a question about the slice before, without it each run starts fresh."""
    query = case.first if which == "first" else case.second
    reply = reply_to(model, prepare(model, case, query), query)
    # The opening tag is no step of either: it is laid in with the question.
    written = reply.ids[1:]
    answered = baseline.answer(case.volume, query, case.scope, new_tokens=len(written))
    segmenter = warm or fresh_segmenter(model)
    before = segmenter.answering.counts.encodes
    outcome, mask = _ask(segmenter, case, query)
    encodes = segmenter.answering.counts.encodes - before
    ours, plain = time_in_turns(
        [
            lambda: _ask(warm or fresh_segmenter(model), case, query),
            lambda: baseline.answer(case.volume, query, case.scope, new_tokens=len(written)),
        ],
        repeats=repeats,
        device=machine.device,
    )
    return Comparison(
        which=which,
        ours=ours,
        plain=plain,
        tokens=len(written),
        same_tokens=answered.ids == written,
        mask_dice=_dice(mask, answered.mask),
        outcome=outcome,
        encodes=encodes,
    )


def _ask(segmenter: SliceSegmenter, case: Case, query: Query) -> tuple[str, NDArray[np.bool_]]:
    """Return outcome and mask (h, w) of the slice."""
    (finding,) = segmenter.segment(case.volume, query, case.scope)
    return finding.outcome, finding.mask


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    total = np.count_nonzero(one) + np.count_nonzero(other)
    return 2 * np.count_nonzero(one & other) / total if total else 1.0

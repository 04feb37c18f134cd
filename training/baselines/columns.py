"""The columns of the model card's table: every method scored on the same questions about the same pictures.

Work goes picture by picture, not column by column: a picture is cut once, encoded once, and all that a model is
asked about it, by whatever column, is asked in one batch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tqdm import tqdm

from coreseg_core.evaluation.ask import Ask
from coreseg_core.evaluation.pictures import CtDisplay, Picture
from coreseg_core.evaluation.run import Answerer, answers, asks_by_picture, score_findings, shown_pictures
from coreseg_core.evaluation.score import Score
from coreseg_core.record import Outcome, SliceFinding
from training.baselines.journal import Journal
from training.baselines.method import Method

MASK_KINDS = ("present", "lesion_free")
"""Kinds of question that a method without language can be said to answer."""


class Source(Protocol):
    """Whatever a column's findings come from."""

    def findings(self, picture: Picture, asks: Sequence[Ask]) -> Sequence[SliceFinding]:
        """Return one finding for each ask, all about one picture."""


@dataclass(frozen=True)
class Asked:
    """A model that reads questions."""

    answerer: Answerer

    def findings(self, picture: Picture, asks: Sequence[Ask]) -> Sequence[SliceFinding]:
        """Return what is answered."""
        return answers(self.answerer, picture, [ask.question for ask in asks])


@dataclass(frozen=True)
class Drawn:
    """A method that outlines whatever lesion it sees; an empty mask says that there is none."""

    method: Method

    def findings(self, picture: Picture, asks: Sequence[Ask]) -> Sequence[SliceFinding]:
        """Return the one mask as often as there are asks."""
        mask = self.method.mask(picture, asks[0].shown)
        outcome: Outcome = "present" if mask.any() else "absent"
        return [SliceFinding(axis=2, index=0, outcome=outcome, mask=mask)] * len(asks)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One method and what it is asked.

    Attributes:
        source: Shared by columns whose questions go into one batch.
        asks: In any order.
        identity: Names method, weights and settings; equal ones give equal scores.
    """

    source: Source
    asks: tuple[Ask, ...] = field(repr=False)
    identity: str


def mask_asks(asks: Sequence[Ask]) -> tuple[Ask, ...]:
    """Return the asks that a method without language can be said to answer."""
    return tuple(ask for ask in asks if ask.kind in MASK_KINDS and ask.variant != "shuffled")


def score_columns(
    columns: Mapping[str, Column],
    *,
    ct: CtDisplay,
    journal: Journal | None = None,
    minutes: float | None = None,
) -> dict[str, tuple[Score, ...]] | None:
    """Return the scores of all columns, with one progress bar; None when the time ran out.

    Args:
        columns: By name.
        ct: How slices of CT volumes are shown.
        journal: Holds the scores of earlier pieces of the run and takes those of this one.
        minutes: When to stop.
    """
    started = time.monotonic()
    every = [(name, number) for name, column in columns.items() for number in range(len(column.asks))]
    asks = [columns[name].asks[number] for name, number in every]
    found: dict[int, Score] = {}
    if journal is not None:
        for place, ((name, _), ask) in enumerate(zip(every, asks, strict=True)):
            kept = journal.get(columns[name].identity, ask)
            if kept is not None:
                found[place] = kept
    groups = asks_by_picture(asks)
    for places in tqdm(groups, desc="scoring", unit="picture"):
        open_places = [place for place in places if place not in found]
        if not open_places:
            continue
        if minutes is not None and time.monotonic() - started > 60 * minutes:
            return None
        of_column = [columns[every[place][0]] for place in open_places]
        scores = _score_picture(of_column, [asks[place] for place in open_places], ct=ct)
        found.update(zip(open_places, scores, strict=True))
        if journal is not None:
            for name, column in columns.items():
                mine = [found[place] for place in open_places if every[place][0] == name]
                if mine:
                    journal.add(column.identity, mine)
    return {
        name: tuple(found[place] for place, (owner, _) in enumerate(every) if owner == name)
        for name in columns
    }


def _score_picture(columns: Sequence[Column], asks: Sequence[Ask], *, ct: CtDisplay) -> list[Score]:
    """Return the scores of asks about one picture, each for its own column."""
    scores: dict[int, Score] = {}
    for picture, places in shown_pictures(asks, ct=ct):
        by_source: dict[int, list[int]] = {}
        for place in places:
            by_source.setdefault(id(columns[place].source), []).append(place)
        for together in by_source.values():
            mine = [asks[place] for place in together]
            findings = columns[together[0]].source.findings(picture, mine)
            scores.update(zip(together, score_findings(mine, findings, picture, ct=ct), strict=True))
    return [scores[place] for place in range(len(asks))]

"""Manifest rows as questions with the outcomes that are right for them.

A row that carries a `query` is asked that. Any other row is asked for its target in plain words and then for
what it surely does not show: another disease of the same modality and anatomy, a lesion of another organ, and
its own target under the name of another modality.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from coreseg_core.answer import parse
from coreseg_core.errors import InputError
from coreseg_core.evaluation.rows import Kind, Row, Wording
from coreseg_core.record import Outcome
from coreseg_core.terms import Target, Words, terms

Variant = Literal["plain", "shifted", "shuffled"]

KINDS: tuple[Kind, ...] = get_args(Kind)
NEGATIVES: tuple[Kind, ...] = ("lesion_free", "wrong_disease", "wrong_organ")
"""Kinds that count for specificity. A wrong modality word is a mismatch, measured apart, never an absence."""

ACCEPTED: dict[Kind, frozenset[Outcome]] = {
    "present": frozenset({"present"}),
    "lesion_free": frozenset({"absent"}),
    "wrong_disease": frozenset({"absent"}),
    # Both are true: no liver lesion is seen on a head, and the question does not fit a head.
    "wrong_organ": frozenset({"absent", "mismatch"}),
    "wrong_modality": frozenset({"mismatch"}),
    "untrained": frozenset({"unsupported"}),
}

_PLAIN = (
    "Segment the {target}.",
    "Where is the {target}?",
    "Is any {target} visible?",
    "Outline the {target}.",
)
_WITH_MODALITY = ("Segment the {target} on this {modality}.", "Where is the {target} on this {modality}?")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One question about one picture.

    Attributes:
        row: The row whose truth counts.
        shown: The row whose picture is shown; another one only when pictures are shuffled.
        variant: "shifted" shows a moved copy, "shuffled" the picture of another row of the same set.
        shift_seed: Which way a shifted copy is moved.
    """

    row: Row
    shown: Row
    question: str
    kind: Kind
    wording: Wording = "template"
    variant: Variant = "plain"
    shift_seed: int | None = None

    @property
    def picture(self) -> tuple[object, ...]:
        """Asks of equal pictures can be answered from one encoding."""
        return (self.shown.folder, *self.shown.picture, self.shift_seed)

    @property
    def primary(self) -> bool:
        """Whether the ask counts for the headline: the picture as it is, not the handwritten wording."""
        return self.variant == "plain" and self.wording != "handwritten"

    @property
    def accepted(self) -> frozenset[Outcome]:
        """Outcomes that are right."""
        return ACCEPTED[self.kind]


def asks_of(rows: Iterable[Row], *, seed: int = 0, negatives: bool = True) -> tuple[Ask, ...]:
    """Return the questions of a manifest, the same ones for the same seed whatever else it holds.

    Args:
        rows: Manifest rows.
        seed: Chooses wordings and what is wrongly asked for.
        negatives: Whether to ask for what a picture does not show; lesion-free rows are asked in any case.
    """
    return tuple(ask for row in rows for ask in _asks_of_row(row, seed=seed, negatives=negatives))


def target_of(row: Row) -> Target | None:
    """Return the class of the table of terms that the row outlines, None for one it does not know."""
    said = {"anatomy": row.anatomy.lower(), "target": row.target.lower()}
    for target in terms().targets:
        for condition in target.rows:
            if all(said[key] in (value.lower() for value in values) for key, values in condition.items()):
                return target
    return None


def modality_of(row: Row) -> Words | None:
    """Return the modality of the table of terms that the row names, None for one it does not know."""
    return next((words for words in terms().modalities if words.name.lower() == row.modality.lower()), None)


def shifted_asks(asks: Sequence[Ask], *, seed: int = 0) -> tuple[Ask, ...]:
    """Return the answerable questions once more, each about a moved copy of its picture."""
    return tuple(
        replace(ask, variant="shifted", shift_seed=random.Random(f"{seed}/{ask.row.id}").getrandbits(32))
        for ask in asks
        if ask.kind == "present" and ask.primary
    )


def shuffled_asks(asks: Sequence[Ask], *, seed: int = 0) -> tuple[Ask, ...]:
    """Return the answerable questions once more, each shown another picture of its set.

    What is then said fits the set but not the picture: claims must do clearly better than this. Sets of a
    single picture are left out; another patient's picture is taken where there is one.
    """
    by_set: dict[tuple[str, str], list[Ask]] = {}
    for ask in asks:
        if ask.kind == "present" and ask.primary:
            by_set.setdefault((ask.row.subset, ask.row.target), []).append(ask)
    shuffled: list[Ask] = []
    for group in by_set.values():
        for ask in group:
            others = [other.shown for other in group if other.shown.patient_key != ask.shown.patient_key]
            others = others or [other.shown for other in group if other.shown.picture != ask.shown.picture]
            if others:
                shown = random.Random(f"{seed}/{ask.row.id}").choice(others)
                shuffled.append(replace(ask, variant="shuffled", shown=shown))
    return tuple(shuffled)


def spread(asks: Sequence[Ask], *, pictures: int) -> tuple[Ask, ...]:
    """Return the asks about so many pictures, spread evenly over the list so that every large set is met.

    Raises:
        InputError: The number is below 1.
    """
    if pictures < 1:
        raise InputError(f"{pictures} pictures are too few.", remedy="Give a number of at least 1.")
    every = list(dict.fromkeys(ask.picture for ask in asks))
    count = min(pictures, len(every))
    kept = {every[position * len(every) // count] for position in range(count)}
    return tuple(ask for ask in asks if ask.picture in kept)


def sample_of_sets(asks: Sequence[Ask], *, pictures: int, seed: int = 0) -> tuple[Ask, ...]:
    """Return the asks about so many pictures of each set, with a lesion and without counted apart.

    Args:
        asks: Questions of a manifest.
        pictures: How many of a set at most.
        seed: Chooses them, whatever is asked about them.

    Raises:
        InputError: The number is below 1.
    """
    if pictures < 1:
        raise InputError(f"{pictures} pictures a set are too few.", remedy="Give a number of at least 1.")
    by_set: dict[tuple[str, bool], list[tuple[object, ...]]] = {}
    for ask in asks:
        group = by_set.setdefault((ask.row.subset, ask.row.lesion_free), [])
        if ask.picture not in group:
            group.append(ask.picture)
    kept: set[tuple[object, ...]] = set()
    for name, group in by_set.items():
        kept.update(random.Random(f"{seed}/{name}").sample(group, min(pictures, len(group))))
    return tuple(ask for ask in asks if ask.picture in kept)


def _asks_of_row(row: Row, *, seed: int, negatives: bool) -> list[Ask]:
    if row.query is not None:
        return [_ask_as_written(row, row.query)]
    rng = random.Random(f"{seed}/{row.id}")
    target = target_of(row)
    name = target.name if target else row.target
    kind: Kind = "lesion_free" if row.lesion_free else "present"
    asks = [_ask(row, kind, rng.choice(_PLAIN).format(target=name))]
    if not negatives:
        return asks
    absent = (*target.absent_targets, *target.absent_foils) if target else ()
    if absent:
        asks.append(_ask(row, "wrong_disease", rng.choice(_PLAIN).format(target=rng.choice(absent))))
    elsewhere = _targets_of_other_organs(target) if target else ()
    if elsewhere:
        asks.append(_ask(row, "wrong_organ", rng.choice(_PLAIN).format(target=rng.choice(elsewhere))))
    modality = _wrong_modality(rng, row)
    if modality is not None:
        question = rng.choice(_WITH_MODALITY).format(target=name, modality=modality)
        asks.append(_ask(row, "wrong_modality", question))
    return asks


def _ask(row: Row, kind: Kind, question: str) -> Ask:
    return Ask(row=row, shown=row, question=question, kind=kind)


def _ask_as_written(row: Row, query: str) -> Ask:
    wording: Wording = row.probe.wording if row.probe is not None else "reader"
    return Ask(row=row, shown=row, question=query, kind=kind_of_query(row), wording=wording)


def kind_of_query(row: Row) -> Kind:
    """Return what a row's own question tests: as the row says, else by its answer and what it outlines."""
    if row.probe is not None:
        return row.probe.kind
    said = parse(row.answer).kind if row.answer else None
    if said == "mismatch":
        return "wrong_modality"
    if row.lesion_free:
        return "lesion_free"
    return "wrong_disease" if said == "absent" else "present"


def _targets_of_other_organs(own: Target) -> tuple[str, ...]:
    return tuple(
        other.name
        for other in terms().targets
        if other.organ != own.organ
        and other.name not in own.never_wrong_organ
        and own.name not in other.never_wrong_organ
    )


def _wrong_modality(rng: random.Random, row: Row) -> str | None:
    own = modality_of(row)
    if own is None:
        return None
    others = [words for words in terms().modalities if words.group != own.group]
    family = rng.choice(sorted({words.group for words in others}))
    return rng.choice([words for words in others if words.group == family]).spoken[0]

"""Which words fit which picture: classes, what is surely absent, and wrong organs and modalities.

A negative is only ever asked when it cannot be true of the picture: the lists in
`coreseg_core/data/terms.json` leave out what such pictures may show besides the outlined lesion.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from coreseg_core.errors import InputError
from coreseg_core.evaluation.rows import Row
from coreseg_core.terms import Target, Words, terms

Kind = Literal["present", "lesion_free", "wrong_disease", "wrong_organ", "wrong_modality"]
KINDS: tuple[Kind, ...] = ("present", "lesion_free", "wrong_disease", "wrong_organ", "wrong_modality")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a picture is and shows, in the words of the table.

    Attributes:
        target: The class that is outlined, or would be if the picture had one.
        modality: As the manifest says it ("MRI FLAIR"); a mismatch answer names it.
        anatomy: As the manifest says it ("limb soft tissue"); a mismatch answer names it.
        family: Modality family ("MR"); a wrong modality is one of another family.
        diseases: Finer wordings that are true of this picture; all of them where there is no lesion.
        lesion_free: Whether the picture shows no lesion.
    """

    target: Target
    modality: str
    anatomy: str
    family: str
    diseases: tuple[str, ...]
    lesion_free: bool

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Return the kinds of question that may be asked of this picture."""
        negatives: list[Kind] = []
        if self.target.absent_foils or self.target.absent_targets:
            negatives.append("wrong_disease")
        if wrong_organ_targets(self):
            negatives.append("wrong_organ")
        return ("lesion_free" if self.lesion_free else "present", *negatives, "wrong_modality")


def subject_of(row: Row) -> Subject:
    """Return what the picture of a manifest row shows.

    A row the table does not know (a reader's own data) is taken at its word: its target is a class of its
    own, of which nothing but wrong modalities and wrong organs is known to be absent.

    Raises:
        InputError: The row names no target or no modality.
    """
    if not row.target or not row.modality:
        raise InputError(
            "A manifest row has no target or no modality; both are needed to word a question.",
            remedy="Fill in the fields 'target' and 'modality'.",
        )
    return _subject(row.modality, row.anatomy, row.target, row.disease, row.lesion_free)


def class_of(row: Row) -> str:
    """Return the class name that answers about this row use."""
    return subject_of(row).target.name


def wrong_organ_targets(subject: Subject) -> tuple[Target, ...]:
    """Return the targets of other organs that this picture surely does not show."""
    own = subject.target
    return tuple(
        other
        for other in terms().targets
        if own.organ not in ("", other.organ)
        and other.name not in own.never_wrong_organ
        and own.name not in other.never_wrong_organ
    )


def modality_words(modality: str) -> Words:
    """Return how people say a modality; one the table does not know is said as it is."""
    return _by_name("modalities").get(modality.lower()) or Words(
        name=modality, group=modality, words=(modality,), spoken=(modality,)
    )


def anatomy_words(anatomy: str) -> Words:
    """Return how people say an anatomy; one the table does not know is said as it is."""
    return _by_name("anatomies").get(anatomy.lower()) or Words(
        name=anatomy, group=anatomy, words=(anatomy,), spoken=(anatomy,)
    )


def wrong_modality(rng: random.Random, subject: Subject) -> Words:
    """Return a modality of another family than the picture's."""
    others = [entry for entry in terms().modalities if entry.group != subject.family]
    families = sorted({entry.group for entry in others})
    family = rng.choice(families)
    return rng.choice([entry for entry in others if entry.group == family])


def home_of(target: Target) -> tuple[str, str]:
    """Return a modality and an anatomy in which `target` is usually seen."""
    return _HOMES[target.name]


_HOMES = {
    "skin lesion": ("dermoscopy", "skin"),
    "polyp": ("endoscopy", "colon"),
    "breast tumor": ("ultrasound", "breast"),
    "soft tissue tumor": ("MRI T1", "limb soft tissue"),
    "white matter lesion": ("MRI FLAIR", "brain"),
    "intracranial hemorrhage": ("CT", "head"),
    "perihematomal edema": ("CT", "head"),
    "ischemic stroke": ("CT", "head"),
    "brain tumor": ("MRI T1 contrast", "brain"),
    "lung tumor": ("CT", "lung"),
    "nasopharynx tumor": ("MRI T2", "nasopharynx"),
    "hard exudate": ("fundus photography", "retina"),
    "liver lesion": ("CT", "liver"),
}


@lru_cache(maxsize=4096)
def _subject(modality: str, anatomy: str, target_words: str, disease: str, lesion_free: bool) -> Subject:
    target = _known_target(anatomy.lower(), target_words.lower()) or _own_target(
        anatomy, target_words, disease
    )
    true_diseases = tuple(
        wording
        for name, wordings in target.diseases.items()
        if lesion_free or name.lower() in disease.lower()
        for wording in wordings
    )
    return Subject(
        target=target,
        modality=modality,
        anatomy=anatomy,
        family=modality_words(modality).group,
        diseases=true_diseases,
        lesion_free=lesion_free,
    )


def _known_target(anatomy: str, target_words: str) -> Target | None:
    said = {"anatomy": anatomy, "target": target_words}
    for target in terms().targets:
        for condition in target.rows:
            if all(said[key] in (value.lower() for value in values) for key, values in condition.items()):
                return target
    return None


def _own_target(anatomy: str, target_words: str, disease: str) -> Target:
    names = (
        [target_words] if disease.lower() in ("", "none", target_words.lower()) else [target_words, disease]
    )
    return Target(
        name=target_words,
        organ=anatomy_words(anatomy).group,
        synonyms=tuple(names),
        diseases={},
    )


@lru_cache(maxsize=2)
def _by_name(group: str) -> dict[str, Words]:
    return {entry.name.lower(): entry for entry in getattr(terms(), group)}

"""Questions about a picture as people type them, with the outcome that is right for each."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from coreseg_core.errors import InputError
from coreseg_core.evaluation.rows import Row
from coreseg_core.terms import terms
from training.wording import context, frames
from training.wording.catalogue import (
    Kind,
    Subject,
    anatomy_words,
    home_of,
    modality_words,
    subject_of,
    wrong_modality,
    wrong_organ_targets,
)

Expect = Literal["present", "absent", "mismatch"]

GENERIC: tuple[str, ...] = (
    "lesion", "abnormality", "pathology", "suspicious area", "suspicious finding", "abnormal area", "finding",
    "focal lesion", "focal abnormality", "anything abnormal", "anything suspicious", "something abnormal",
    "anything unusual", "something wrong", "pathological change", "abnormal tissue", "focal change", "disease",
    "any disease", "anything conspicuous", "diseased area", "anything that stands out",
)  # fmt: skip

P_TYPO, P_STRAY, P_BEFORE, P_AFTER, P_LOWER, P_UPPER = 0.14, 0.08, 0.22, 0.16, 0.35, 0.02
P_REQUEST, P_HISTORY, P_PURPOSE, P_NOISE, P_QUALITY = 0.35, 0.15, 0.1, 0.2, 0.12
P_NAME_MODALITY, P_NAME_ANATOMY = 0.4, 0.25
_EVERYWHERE = ("skin",)
"""Organs that lie on every other: a "lesion" of another organ does not contradict their pictures."""
_INDEFINITE = ("any", "some")
_PLURAL_WORDS = (
    "lesions", "plaques", "exudates", "hyperintensities", "polyps", "hemorrhoids", "haemorrhoids", "piles",
    "diverticula", "worms", "gallstones", "metastases", "varices",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question with its right outcome.

    Attributes:
        text: What is typed.
        expect: The outcome that is right for the picture it is asked of.
        class_name: The class that the answer names, or that was asked for when the question does not fit.
        kind: Why it is answerable or not.
    """

    text: str
    expect: Expect
    class_name: str
    kind: Kind


def write_question(rng: random.Random, row: Row, kind: Kind) -> Question:
    """Return a question of this kind about the picture of a manifest row.

    Raises:
        InputError: The kind does not fit the picture, such as "present" for a lesion-free one.
    """
    subject = subject_of(row)
    if kind not in subject.kinds:
        raise InputError(
            f"A question of kind {kind!r} does not fit this picture.",
            remedy=f"Use one of {', '.join(subject.kinds)}.",
        )
    wording, class_name, modality, anatomy = _asked(rng, subject, kind)
    if rng.random() < P_QUALITY and not wording.startswith(_INDEFINITE) and not wording.isupper():
        wording = f"{rng.choice(context.QUALITIES)} {wording}"
    text = _sentence(rng, wording, _where(rng, modality, anatomy))
    expect: Expect = "present" if kind == "present" else "absent"
    if kind in ("wrong_organ", "wrong_modality"):
        expect = "mismatch"
    return Question(text=_as_typed(rng, text, kind), expect=expect, class_name=class_name, kind=kind)


def _asked(rng: random.Random, subject: Subject, kind: Kind) -> tuple[str, str, str, str]:
    """Return (wording, class, modality words, anatomy words); an empty word is left unsaid."""
    own_modality = rng.choice(modality_words(subject.modality).spoken)
    own_anatomy = rng.choice(anatomy_words(subject.anatomy).spoken) if subject.anatomy else ""
    said_modality = own_modality if rng.random() < P_NAME_MODALITY else ""
    said_anatomy = own_anatomy if rng.random() < P_NAME_ANATOMY else ""
    if kind == "wrong_disease":
        wording, class_name = _wrong_disease(rng, subject)
        return wording, class_name, said_modality, said_anatomy
    if kind == "wrong_organ":
        return _wrong_organ(rng, subject, said_modality)
    wording = _own_wording(rng, subject, generic=kind != "wrong_modality" or rng.random() < 0.3)
    if kind == "wrong_modality":
        said_modality = rng.choice(wrong_modality(rng, subject).spoken)
    return wording, subject.target.name, said_modality, said_anatomy


def _own_wording(rng: random.Random, subject: Subject, *, generic: bool) -> str:
    """Return a name for what the picture shows (or would show): synonym, abbreviation, disease or generic."""
    target = subject.target
    choices: list[tuple[float, tuple[str, ...]]] = [(0.25, (target.name,)), (0.3, target.synonyms)]
    choices += [(0.07, target.abbreviations), (0.14, subject.diseases)]
    if generic:
        choices += [(0.12, target.short), (0.12, GENERIC)]
    return rng.choice(_weighted(rng, choices))


def _wrong_disease(rng: random.Random, subject: Subject) -> tuple[str, str]:
    target = subject.target
    groups = [(0.5, target.absent_targets), (0.5, target.absent_foils)]
    name = rng.choice(_weighted(rng, groups))
    if name in terms().foils:
        return rng.choice((name, *terms().foils[name])), name
    other = terms().target(name)
    return rng.choice((name, *other.synonyms, *other.abbreviations)), name


def _wrong_organ(rng: random.Random, subject: Subject, said_modality: str) -> tuple[str, str, str, str]:
    """Return a target of another organ, at times with the modality and anatomy where it belongs."""
    other = rng.choice(wrong_organ_targets(subject))
    modality, anatomy = home_of(other)
    if not said_modality and rng.random() < P_NAME_MODALITY / 2:
        said_modality = rng.choice(modality_words(modality).spoken)
    organ = rng.choice(anatomy_words(anatomy).spoken)
    if rng.random() < 0.15 and other.short and subject.target.organ not in _EVERYWHERE:
        return rng.choice(other.short), other.name, said_modality, organ
    finer = tuple(wording for wordings in other.diseases.values() for wording in wordings)
    groups = [(0.6, (other.name, *other.synonyms)), (0.1, other.abbreviations), (0.2, finer)]
    wording = rng.choice(_weighted(rng, groups))
    organ_said = wording in other.vague or rng.random() < P_NAME_ANATOMY
    return wording, other.name, said_modality, organ if organ_said else ""


def _weighted(rng: random.Random, choices: list[tuple[float, tuple[str, ...]]]) -> tuple[str, ...]:
    usable = [(weight, wordings) for weight, wordings in choices if wordings]
    return rng.choices([wordings for _, wordings in usable], weights=[weight for weight, _ in usable])[0]


def _where(rng: random.Random, modality: str, anatomy: str) -> str:
    if modality and anatomy:
        return rng.choice(frames.ON_BOTH).format(m=modality, o=anatomy)
    if modality:
        return rng.choice(frames.ON_MODALITY).format(m=modality)
    if anatomy:
        return rng.choice(frames.ON_ANATOMY).format(o=anatomy)
    return rng.choice(frames.ON_NOTHING)


def _sentence(rng: random.Random, wording: str, where: str) -> str:
    """Return a frame filled in; where the picture must be named, only frames that can name it are used."""
    form = rng.random()
    composed = rng.random() < P_REQUEST
    while True:
        if composed:
            frame = context.request_frame(rng)
        elif form < 0.3:
            frame = f"{rng.choice(frames.COMMAND_VERBS)} {rng.choice(frames.COMMAND_OBJECTS)}"
        elif form < 0.45:
            frame = rng.choice(frames.COMMANDS)
        elif form < 0.75:
            frame = rng.choice(frames.QUESTIONS)
        else:
            frame = rng.choice(frames.NOUNS)
        if "{on}" in frame or not where.strip():
            return _filled(frame, wording, where)


def _filled(frame: str, wording: str, where: str) -> str:
    plural = wording.split()[-1].lower() in _PLURAL_WORDS
    indefinite = wording.startswith(_INDEFINITE) or plural
    article = "" if indefinite else "an " if wording[0].lower() in "aeiou" else "a "
    definite = wording if wording.startswith(_INDEFINITE) else f"the {wording}"
    text = frame.format(
        t=wording,
        a=f"{article}{wording}",
        the=definite,
        be="are" if plural else "is",
        Be="Are" if plural else "Is",
        on=where,
    )
    text = text.replace("any any", "any").replace("every any", "any").replace("any some", "some")
    return text[0].upper() + text[1:] if frame.startswith("{a}") else text


def _as_typed(rng: random.Random, text: str, kind: Kind) -> str:
    """Return the text with politeness, clinical words, stray words, typing errors and careless case."""
    if rng.random() < P_AFTER:
        asks = "?" * text.endswith("?")
        text = f"{text.rstrip('?.')}{rng.choice((' ', ', '))}{rng.choice(frames.AFTER)}{asks}"
    if rng.random() < P_BEFORE:
        text = f"{rng.choice(frames.BEFORE).format(age=rng.randint(18, 91))} {_lower_first(text)}"
    if rng.random() < P_PURPOSE:
        text = f"{text.rstrip('?.')} {rng.choice(context.PURPOSES)}"
    if rng.random() < P_HISTORY:
        text = f"{context.history(rng)} {text}"
    if rng.random() < P_NOISE:
        text = context.with_noise(rng, text)
    if rng.random() < P_STRAY:
        text = _with_stray_word(rng, text)
    if rng.random() < P_TYPO:
        text = with_typo(rng, text)
    case = rng.random()
    text = text.lower() if case < P_LOWER else text.upper() if case < P_LOWER + P_UPPER else text
    ending = rng.random()
    if ending < 0.25:
        return text.rstrip("?. ")
    return f"{text}." if ending < 0.45 and text[-1].isalnum() else text


def _lower_first(text: str) -> str:
    first = text.split(" ", 1)[0]
    return text if first.isupper() else text[0].lower() + text[1:]


def _with_stray_word(rng: random.Random, text: str) -> str:
    words = text.split()
    words.insert(rng.randint(0, len(words)), rng.choice(frames.STRAY_WORDS))
    return " ".join(words)


def with_typo(rng: random.Random, text: str) -> str:
    """Return the text with one letter of one longer word swapped, dropped or doubled."""
    words = text.split(" ")
    long_words = [k for k, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    if not long_words:
        return text
    k = rng.choice(long_words)
    word = words[k]
    at = rng.randint(1, len(word) - 2)
    kind = rng.randrange(3)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    words[k] = (swapped, word[:at] + word[at + 1 :], word[: at + 1] + word[at:])[kind]
    return " ".join(words)

"""Reasoning written from what is measured, short and regular enough for a small model, with varied wording.

`full` has two or three sentences, `brief` one, `none` is empty. Every statement about the lesion uses a
phrase of `coreseg_core.claims`, so that it can be read back and checked. No coordinates occur in it, as
in the paper (CORE-Seg, arXiv 2603.05911).
"""

from __future__ import annotations

import random

from coreseg_core.claims import CONTRAST, NUMBER, OUTLINE, PLACE, SIZE, Facts
from coreseg_core.record import ReasoningMode
from training.wording.catalogue import Kind

OPENINGS: tuple[str, ...] = (
    "This is {picture}.", "The picture is {picture}.", "Here is {picture}.", "We see {picture}.",
)  # fmt: skip
STANDS_OUT_ONE: tuple[str, ...] = (
    "{number} {size} {noun} stands out in the {place} part of the picture{details}.",
    "In the {place} part of the picture there is {number} {size} {noun}{details}.",
    "{number} {size} {noun} lies in the {place} part of the picture{details}.",
)
STANDS_OUT_MANY: tuple[str, ...] = (
    "{number} {noun}s stand out; the largest is {size}, in the {place} part of the picture{details}.",
    "There are {number} {noun}s; the largest is {size} and lies in the {place} part of the picture{details}.",
    "{number} {noun}s are seen, the largest {size}, in the {place} part of the picture{details}.",
)
NOUNS: tuple[str, ...] = ("area", "region", "spot")
CONCLUSIONS: tuple[str, ...] = (
    "This fits {a_class}.", "It looks like {a_class}.", "The finding matches {a_class}.",
    "That suits {a_class}.",
)  # fmt: skip

NOTHING_FOCAL: tuple[str, ...] = (
    "Nothing focal stands out and the tissue looks even.",
    "No area differs clearly from the tissue around it.",
    "The tissue shows no focal change.",
    "No focal finding stands out.",
)
NO_SIGN: tuple[str, ...] = (
    "There is no sign of {a_class}.", "Nothing here looks like {a_class}.", "No part of it fits {a_class}.",
)  # fmt: skip
OTHER_THAN_ASKED: tuple[str, ...] = (
    "What is seen does not have the look of {a_class}.",
    "The visible structures do not suggest {a_class}.",
    "What stands out is not {a_class}.",
)
DOES_NOT_FIT: tuple[str, ...] = (
    "The question asks for something else.", "That is not what the question is about.",
    "The question speaks of another kind of picture.",
)  # fmt: skip
CANNOT_SHOW: tuple[str, ...] = (
    "So it cannot be answered here.", "It cannot be answered from this picture.",
    "So the question does not apply.",
)  # fmt: skip


def write_reasoning(
    rng: random.Random,
    facts: Facts | None,
    modality: str,
    anatomy: str,
    class_name: str,
    mode: ReasoningMode,
    kind: Kind,
) -> str:
    """Return the reasoning for an answer of this kind; empty in mode "none".

    Args:
        facts: What is measured; needed for kind "present" only.
        kind: As in `Question.kind`: it decides between present, absent and mismatch.
    """
    if mode == "none":
        return ""
    picture = f"{modality} of {anatomy}" if anatomy else modality
    if kind == "present" and facts is not None:
        return _present(rng, facts, picture, class_name, mode)
    if kind in ("wrong_organ", "wrong_modality"):
        return _mismatch(rng, picture, mode)
    return _absent(rng, picture, class_name, mode, lesion_free=kind == "lesion_free")


def _present(rng: random.Random, facts: Facts, picture: str, class_name: str, mode: ReasoningMode) -> str:
    number, size = rng.choice(NUMBER[facts.number]), rng.choice(SIZE[facts.size])
    place = rng.choice(PLACE[facts.place])
    noun = rng.choice(NOUNS)
    if mode == "brief":
        shade = {"darker": "dark ", "brighter": "bright "}.get(facts.contrast or "", "")
        if facts.number == "one":
            return _capital(f"{picture}: {number} {size} {shade}{noun} in the {place} part of the picture.")
        return _capital(
            f"{picture}: {number} {shade}{noun}s, the largest {size}, in the {place} part of the picture."
        )
    frame = rng.choice(STANDS_OUT_ONE if facts.number == "one" else STANDS_OUT_MANY)
    finding = frame.format(number=number, size=size, noun=noun, place=place, details=_details(rng, facts))
    conclusion = rng.choice(CONCLUSIONS).format(a_class=_with_article(class_name))
    return f"{_opening(rng, picture)} {_capital(finding)} {conclusion}"


def _details(rng: random.Random, facts: Facts) -> str:
    """Return contrast and outline as a trailing phrase, in either order, without what is not measured."""
    contrast = f"it is {rng.choice(CONTRAST[facts.contrast][:2])}" if facts.contrast else ""
    outline = f"it has {rng.choice(OUTLINE[facts.outline])}" if facts.outline else ""
    parts = [part for part in (contrast, outline) if part]
    if rng.random() < 0.3:
        parts.reverse()
    return f"; {' and '.join(parts)}" if parts else ""


def _absent(
    rng: random.Random, picture: str, class_name: str, mode: ReasoningMode, *, lesion_free: bool
) -> str:
    asked = _with_article(class_name)
    if mode == "brief":
        stock = ("nothing focal stands out", "no focal change") if lesion_free else (
            f"nothing looks like {asked}", f"no sign of {asked}")  # fmt: skip
        return _capital(f"{picture}: {rng.choice(stock)}.")
    first = rng.choice(NOTHING_FOCAL) if lesion_free else rng.choice(OTHER_THAN_ASKED).format(a_class=asked)
    return f"{_opening(rng, picture)} {first} {rng.choice(NO_SIGN).format(a_class=asked)}"


def _mismatch(rng: random.Random, picture: str, mode: ReasoningMode) -> str:
    if mode == "brief":
        stock = ("the question asks for something else", "the question does not apply")
        return _capital(f"{picture}: {rng.choice(stock)}.")
    return f"{_opening(rng, picture)} {rng.choice(DOES_NOT_FIT)} {rng.choice(CANNOT_SHOW)}"


def _opening(rng: random.Random, picture: str) -> str:
    return rng.choice(OPENINGS).format(picture=picture)


def _with_article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}" if name else "it"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

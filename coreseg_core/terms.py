"""What the `lite` preset was trained to find, and what a question asks for in its words.

The table `data/terms.json` has three tiers: *targets* (outlined in training), *foils* (only ever asked about
where they are absent, so a "no" is not evidence) and *untrained* terms. Training draws its words from it too.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from coreseg_core.spelling import edit_distance, letter_bits

MAX_TOKENS = 400
MIN_FUZZY_ONE, MIN_FUZZY_TWO = 5, 9
"""Word lengths from which one and two typing errors are forgiven."""
MIN_FUZZY_REFUSED = 8
"""The same for words that lead to a refusal: a wrong guess there would turn a fair question away."""

_TOKEN = re.compile(r"[a-z0-9]+", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Target:
    """One class the preset outlines.

    Attributes:
        name: Canonical class name, as written in answers.
        organ: Region of the body; targets of one organ are never a wrong-organ question for each other.
        synonyms: Words that say this class by themselves.
        abbreviations: The same, short.
        short: Words that say it only once the picture is known ("tumor", "mass").
        diseases: Finer names, true of some rows only: manifest `disease` -> wordings.
        rows: Conditions on manifest rows (`anatomy`, `target`), any of which makes a row one of this class.
        ct_region: Which CT window suits it: "head", "lung", "abdomen" or None.
        phantom_only: Trained on generated studies alone.
        absent_targets: Other targets that are surely absent from its pictures.
        absent_foils: Foils that are surely absent from its pictures.
        never_wrong_organ: Targets of other organs that its pictures may show all the same.
        also: Wordings that are recognised but never used in training.
        vague: Synonyms that other organs know too, so that a wrong-organ question must name the organ.
    """

    name: str
    organ: str
    synonyms: tuple[str, ...]
    abbreviations: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    diseases: Mapping[str, tuple[str, ...]]
    rows: tuple[Mapping[str, tuple[str, ...]], ...] = ()
    ct_region: str | None = None
    phantom_only: bool = False
    absent_targets: tuple[str, ...] = ()
    absent_foils: tuple[str, ...] = ()
    never_wrong_organ: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    vague: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Words:
    """A modality (`group` = family such as "MR") or an anatomy (`group` = organ) and how people say it.

    Attributes:
        words: Wordings that are recognised.
        spoken: Wordings that fit after "on this" (modality) or "of the" (anatomy).
    """

    name: str
    group: str
    words: tuple[str, ...]
    spoken: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The whole table."""

    targets: tuple[Target, ...]
    foils: Mapping[str, tuple[str, ...]]
    modalities: tuple[Words, ...]
    anatomies: tuple[Words, ...]
    generic: tuple[str, ...]
    untrained: Mapping[str, tuple[str, ...]]
    exact_case: frozenset[str]
    plain_words: frozenset[str]

    def target(self, name: str) -> Target:
        """Return the target called `name`; KeyError when there is none."""
        return {target.name: target for target in self.targets}[name]


@dataclass(frozen=True, kw_only=True)
class Understanding:
    """What a question names.

    Attributes:
        targets: Classes the preset was trained to outline.
        foils: Things it only knows from pictures without them.
        unsupported_terms: Things and organs it was never trained for.
        modality: Modality named ("CT", "MRI FLAIR", ...), None without one.
        modality_family: Its family: "CT", "MR", "US", "ES", "DERM", "PT", "OP", "XR", "MG", "OCT".
        anatomy: Anatomy named, None without one.
        generic: Whether a word such as "lesion" or "abnormality" occurs, which fits every picture.
        ct_region: CT window that suits the question: "head", "lung", "abdomen" or None.
        phantom_only: True when every target named was trained on generated studies alone.
    """

    targets: tuple[str, ...] = ()
    foils: tuple[str, ...] = ()
    unsupported_terms: tuple[str, ...] = ()
    modality: str | None = None
    modality_family: str | None = None
    anatomy: str | None = None
    generic: bool = False
    ct_region: str | None = None
    phantom_only: bool = False

    @property
    def supported(self) -> bool:
        """False when the question names only things the preset was never taught to find."""
        return bool(self.targets) or not (self.unsupported_terms or self.foils)

    @property
    def untaught(self) -> tuple[str, ...]:
        """Everything named that the preset was never taught to find, for the message to the reader."""
        return self.unsupported_terms + self.foils


@lru_cache(maxsize=1)
def terms() -> Terms:
    """Return the table that ships with the package."""
    text = resources.files("coreseg_core").joinpath("data/terms.json").read_text(encoding="utf-8")
    table = json.loads(text)
    return Terms(
        targets=tuple(_target(entry) for entry in table["targets"]),
        foils=_tuples(table["foils"]),
        modalities=tuple(_words(entry, "family") for entry in table["modalities"]),
        anatomies=tuple(_words(entry, "organ") for entry in table["anatomies"]),
        generic=tuple(table["generic"]),
        untrained=_tuples(table["untrained"]),
        exact_case=frozenset(table["exact_case"]),
        plain_words=frozenset(table["plain_words"]),
    )


def understand(query_text: str) -> Understanding:
    """Return what the question names, forgiving typing errors in longer words, passing over others."""
    table = terms()
    found: dict[str, list[str]] = {}
    for category, name in _named(query_text):
        names = found.setdefault(category, [])
        if name not in names:
            names.append(name)
    modality = next(iter(found.get("modality", [])), None)
    if modality == "MRI":
        modality = next((name for name in found["modality"] if name.startswith("MRI ")), modality)
    anatomy = next(iter(found.get("anatomy", [])), None)
    named = [table.target(name) for name in found.get("target", [])]
    regions = [target.ct_region for target in named if target.ct_region]
    return Understanding(
        targets=tuple(target.name for target in named),
        foils=tuple(found.get("foil", ())),
        unsupported_terms=tuple(found.get("untrained", ())),
        modality=modality,
        modality_family=next((entry.group for entry in table.modalities if entry.name == modality), None),
        anatomy=anatomy,
        generic="generic" in found,
        ct_region=regions[0] if regions else _REGION_OF_ANATOMY.get(anatomy or ""),
        phantom_only=bool(named) and all(target.phantom_only for target in named),
    )


_REGION_OF_ANATOMY = {
    "brain": "head",
    "head": "head",
    "lung": "lung",
    "liver": "abdomen",
    "abdomen": "abdomen",
}

_Meaning = tuple[str, str]


def ct_region(words: str, *, among: Collection[str]) -> str | None:
    """Return whose CT window suits what is asked or described, None for the soft-tissue window of all others."""
    named = understand(words).ct_region
    return named if named in among else None


def _named(query_text: str) -> Iterator[_Meaning]:
    """Yield (category, name) of the phrases in the question, longest phrases first at every word."""
    text = unicodedata.normalize("NFKC", query_text)
    words = [match.group() for match in _TOKEN.finditer(text)][:MAX_TOKENS]
    readings = [_readings(word if word in _exact_words() else word.lower()) for word in words]
    phrases = _phrases()
    longest = max(len(phrase) for phrase in phrases)
    at = 0
    while at < len(words):
        for length in range(min(longest, len(words) - at), 0, -1):
            meanings = _look_up(phrases, readings[at : at + length])
            if meanings:
                yield from meanings
                at += length
                break
        else:
            at += 1


def _look_up(
    phrases: Mapping[tuple[str, ...], tuple[_Meaning, ...]], readings: list[tuple[str, ...]]
) -> tuple[_Meaning, ...]:
    """Return the meanings of the first phrase that some reading of these words spells."""
    spelled: list[tuple[str, ...]] = [()]
    for options in readings:
        spelled = [(*start, word) for start in spelled for word in options][:64]
    return next((phrases[words] for words in spelled if words in phrases), ())


@lru_cache(maxsize=1)
def _phrases() -> dict[tuple[str, ...], tuple[_Meaning, ...]]:
    """Return every known phrase as words -> meanings; a target outweighs a foil, a foil a mere organ."""
    table = terms()
    found: dict[tuple[str, ...], tuple[_Meaning, ...]] = {}
    for wording, meaning in _wordings(table):
        key = _spell(wording, table.exact_case)
        known = found.get(key, ())
        if not known or (meaning[0] == known[0][0] == "target" and meaning not in known):
            found[key] = (*known, meaning)
    return found


def _wordings(table: Terms) -> Iterator[tuple[str, _Meaning]]:
    for target in table.targets:
        finer = (wording for wordings in target.diseases.values() for wording in wordings)
        for wording in (target.name, *target.synonyms, *target.abbreviations, *target.also, *finer):
            yield wording, ("target", target.name)
    for category, entries in (("foil", table.foils), ("untrained", table.untrained)):
        for name, wordings in entries.items():
            for wording in (name, *wordings):
                yield wording, (category, name)
    for category, groups in (("modality", table.modalities), ("anatomy", table.anatomies)):
        for entry in groups:
            for wording in (entry.name, *entry.words):
                yield wording, (category, entry.name)
    for wording in table.generic:
        yield wording, ("generic", wording)


def _spell(wording: str, exact_case: frozenset[str]) -> tuple[str, ...]:
    words = (match.group() for match in _TOKEN.finditer(wording))
    return tuple(word if word in exact_case else word.lower() for word in words)


@lru_cache(maxsize=1)
def _exact_words() -> frozenset[str]:
    return terms().exact_case


@lru_cache(maxsize=1)
def _vocabulary() -> tuple[frozenset[str], tuple[tuple[str, int], ...]]:
    """Return all known words, and those (with their letters) that are recognised when misspelled."""
    forgiven: dict[str, int] = {}
    for phrase, meanings in _phrases().items():
        shortest = MIN_FUZZY_REFUSED if meanings[0][0] in ("untrained", "foil") else MIN_FUZZY_ONE
        for word in phrase:
            forgiven[word] = min(shortest, forgiven.get(word, shortest))
    long_words = sorted(word for word, shortest in forgiven.items() if len(word) >= shortest)
    return frozenset(forgiven), tuple((word, letter_bits(word)) for word in long_words)


@lru_cache(maxsize=4096)
def _readings(word: str) -> tuple[str, ...]:
    """Return the known words that `word` can stand for: itself, its singular, or what it misspells."""
    known, forgiven = _vocabulary()
    options = [option for option in (word, word.removesuffix("s"), f"{word}s") if option in known]
    if options or word in terms().plain_words or not MIN_FUZZY_ONE <= len(word) <= 40:
        return tuple(options) or (word,)
    allowed = 2 if len(word) >= MIN_FUZZY_TWO else 1
    letters = letter_bits(word)
    candidates = (other for other, known_as in forgiven if (letters ^ known_as).bit_count() <= 2 * allowed)
    near = [(edit_distance(word, other, limit=allowed), other) for other in candidates]
    return tuple(other for distance, other in sorted(near) if distance <= allowed)[:4] or (word,)


def _target(entry: Mapping[str, Any]) -> Target:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    values["diseases"] = _tuples(entry["diseases"])
    values["rows"] = tuple(_tuples(row) for row in entry["rows"])
    return Target(**values)


def _words(entry: Mapping[str, Any], group: str) -> Words:
    return Words(
        name=entry["name"], group=entry[group], words=tuple(entry["words"]), spoken=tuple(entry["spoken"])
    )


def _tuples(entries: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(value) for key, value in entries.items()}

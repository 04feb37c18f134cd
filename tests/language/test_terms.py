"""What a question names is understood through typing errors, and never guessed from ordinary words."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreseg_core.spelling import edit_distance
from coreseg_core.terms import terms, understand
from training.wording.questions import with_typo

HANDWRITTEN = Path(__file__).parents[1] / "data" / "handwritten_questions.json"


def _handwritten() -> list[dict[str, Any]]:
    return json.loads(HANDWRITTEN.read_text(encoding="utf-8"))["questions"]


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("polyps?", "polyp"),
        ("segment the ployp", "polyp"),
        ("intracranial haemmorhage", "intracranial hemorrhage"),
        ("melanomma", "skin lesion"),
        ("Any ICH on this CT head?", "intracranial hemorrhage"),
        ("MS plaques on FLAIR", "white matter lesion"),
        ("hepatic metastasis or other liver lesion", "liver lesion"),
        ("pulmonary nodule", "lung tumor"),
    ],
)
def test_targets_are_understood(query: str, target: str) -> None:
    understood = understand(query)
    assert target in understood.targets and understood.supported


@pytest.mark.parametrize(
    ("query", "modality", "family"),
    [
        ("tumor on this CT", "CT", "CT"),
        ("lesion in the T1 MRI", "MRI T1", "MR"),
        ("lesion on MRI", "MRI", "MR"),
        ("contrast-enhanced T1, tumor", "MRI T1 contrast", "MR"),
        ("US of the breast", "ultrasound", "US"),
        ("show us the lesion", None, None),
        ("colonoscopy: polyp", "endoscopy", "ES"),
    ],
)
def test_modality_is_understood(query: str, modality: str | None, family: str | None) -> None:
    understood = understand(query)
    assert (understood.modality, understood.modality_family) == (modality, family)


@pytest.mark.parametrize(
    ("query", "region"),
    [("stroke?", "head"), ("bleed in the head", "head"), ("lung tumour", "lung"), ("liver mass", "abdomen"),
     ("polyp", None), ("anything in the chest?", "lung")],
)  # fmt: skip
def test_ct_region_follows_the_question(query: str, region: str | None) -> None:
    assert understand(query).ct_region == region


@pytest.mark.parametrize("query", ["lesion?", "anything abnormal?", "tumour", "", "what do you see", "مرحبا"])
def test_generic_and_unknown_questions_are_let_through(query: str) -> None:
    assert understand(query).supported


def test_every_foil_and_untrained_term_alone_is_unsupported() -> None:
    for name in (*terms().foils, *terms().untrained):
        understood = understand(f"Is there a {name}?")
        assert not understood.supported or understood.targets, name


def test_a_trained_target_beside_an_untrained_term_is_supported() -> None:
    understood = understand("brain tumor, known kidney stone")
    assert understood.supported and understood.unsupported_terms == ("kidney stone",)


def test_liver_is_known_from_phantoms_only_and_says_so() -> None:
    assert understand("liver lesion").phantom_only
    assert not understand("polyp").phantom_only


def test_every_target_synonym_survives_its_own_lookup() -> None:
    for target in terms().targets:
        for wording in (target.name, *target.synonyms, *target.abbreviations):
            assert target.name in understand(wording).targets, wording


def test_typing_errors_in_long_words_are_forgiven() -> None:
    rng = random.Random(3)
    wordings = [w for t in terms().targets for w in (t.name, *t.synonyms) if max(map(len, w.split())) >= 7]
    read = [bool(understand(with_typo(rng, wording)).targets) for wording in wordings for _ in range(5)]
    assert sum(read) / len(read) > 0.85


@pytest.mark.parametrize(
    "query",
    ["Which part of the picture is different?",
     "The patient fell off a ladder", "Clear borders or blurry ones?",
     "BIRADS 4, see below", "over the last years, never before", "color the area please",
     "in a few words", "at 10 o'clock"],
)  # fmt: skip
def test_ordinary_words_are_not_taken_for_diseases(query: str) -> None:
    understood = understand(query)
    assert (understood.targets, understood.untaught) == ((), ())


def test_handwritten_unsupported_questions_are_refused_and_present_ones_never() -> None:
    for question in _handwritten():
        understood = understand(question["question"])
        if question["expect"] == "unsupported":
            assert not understood.supported, question["id"]
        if question["expect"] in ("present", "mismatch"):
            assert understood.supported, question["id"]
            assert not understood.targets or question["class"] in understood.targets, question["id"]
        if question["expect"] == "absent":
            assert not understood.unsupported_terms, question["id"]


@given(text=st.text(max_size=1000))
@settings(max_examples=50, deadline=None)
def test_any_text_is_understood_without_failing(text: str) -> None:
    understand(text)


def test_a_thousand_characters_of_nonsense_take_well_under_a_second() -> None:
    rng = random.Random(0)
    text = " ".join("".join(rng.choice("aeiolnrstm") for _ in range(9)) for _ in range(100))
    started = time.thread_time()
    understand(text)
    assert time.thread_time() - started < 0.5


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [("polyp", "polyp", 0), ("polyp", "ployp", 1), ("polyp", "poly", 1), ("lesion", "liver", 3)],
)
def test_edit_distance_counts_neighbour_swaps_as_one(a: str, b: str, distance: int) -> None:
    assert edit_distance(a, b, limit=2) == distance

"""Questions and answers of the training wording are true of the picture, varied, and unlike those by hand."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from coreseg_core import answer
from coreseg_core.claims import Facts
from coreseg_core.errors import InputError
from coreseg_core.evaluation.rows import Row
from coreseg_core.terms import terms, understand
from training.wording import (
    KINDS,
    Kind,
    choose_kind,
    class_of,
    context,
    corpus,
    subject_of,
    target_text,
    write_question,
)
from training.wording.catalogue import _HOMES
from training.wording.frames import all_frames

HANDWRITTEN = Path(__file__).parents[1] / "data" / "handwritten_questions.json"
FACTS = Facts(
    number="one", side="left", place="upper left", size="small", contrast="darker", outline="smooth",
    area_fraction=0.01, centre_xy=(0.2, 0.2), effect=-2.0, solidity=0.97,
)  # fmt: skip


def _asked(rows: list[Row], n: int, kind: Kind | None = None) -> list[tuple[Row, Any]]:
    rng = random.Random(11)
    found = []
    for _ in range(n):
        row = rng.choice([row for row in rows if kind is None or kind in subject_of(row).kinds])
        found.append((row, write_question(rng, row, kind or choose_kind(rng, row))))
    return found


def test_every_row_is_known_by_its_class(rows: list[Row]) -> None:
    names = {class_of(row) for row in rows}
    assert names == {target.name for target in terms().targets} == set(_HOMES)


def test_expectation_follows_the_kind(rows: list[Row]) -> None:
    expected = {"present": "present", "lesion_free": "absent", "wrong_disease": "absent"}
    for kind in KINDS:
        for row, question in _asked(rows, 200, kind):
            assert question.expect == expected.get(kind, "mismatch")
            if kind in ("present", "lesion_free", "wrong_modality"):
                assert question.class_name == class_of(row)
            else:
                assert question.class_name != class_of(row)


def test_a_present_question_of_a_lesion_free_picture_is_refused(rows: list[Row]) -> None:
    lesion_free = next(row for row in rows if row.disease == "none")
    with pytest.raises(InputError, match="lesion_free"):
        write_question(random.Random(0), lesion_free, "present")


def test_what_is_absent_is_never_what_the_picture_may_show() -> None:
    table = terms()
    for target in table.targets:
        own = {word.lower() for word in (target.name, *target.synonyms, *target.abbreviations)}
        own |= {word.lower() for words in target.diseases.values() for word in words}
        for name in target.absent_foils:
            assert not own & {word.lower() for word in (name, *table.foils[name])}, (target.name, name)
        for name in target.absent_targets:
            other = table.target(name)
            assert not own & {word.lower() for word in (name, *other.synonyms)}, (target.name, name)
            assert other.organ == target.organ


def test_oedema_round_a_bleed_is_never_asked_about_the_bleed(rows: list[Row]) -> None:
    edema = [row for row in rows if row.target == "perihematomal edema"]
    bleed = [row for row in rows if row.target == "intracranial hemorrhage"]
    assert not any(q.class_name == "intracranial hemorrhage" for _, q in _asked(edema, 300))
    assert not any(q.class_name == "perihematomal edema" for _, q in _asked(bleed, 300))


def test_disease_words_are_used_only_where_they_are_true(rows: list[Row]) -> None:
    nevus = [row for row in rows if row.disease == "melanocytic nevus"]
    melanoma = [row for row in rows if row.disease == "melanoma"]
    assert not any("melanoma" in q.text.lower() for _, q in _asked(nevus, 500))
    assert any("melanoma" in q.text.lower() for _, q in _asked(melanoma, 200))


def test_wrong_modality_is_named_and_is_of_another_family(rows: list[Row]) -> None:
    named = 0
    for row, question in _asked(rows, 400, "wrong_modality"):
        family = understand(question.text).modality_family
        assert family != subject_of(row).family, question.text
        named += family is not None
    assert named > 340


def test_the_right_modality_is_named_often_so_that_the_word_alone_is_no_cue(rows: list[Row]) -> None:
    for kind in ("present", "wrong_disease"):
        asked = _asked(rows, 400, kind)
        named = sum(understand(q.text).modality_family == subject_of(row).family for row, q in asked)
        assert 0.25 < named / len(asked) < 0.6


def test_about_a_quarter_of_questions_about_lesions_has_no_mask(rows: list[Row]) -> None:
    with_lesion = [row for row in rows if row.disease != "none"]
    outcomes = Counter(question.expect for _, question in _asked(with_lesion, 3000))
    assert 0.2 < 1 - outcomes["present"] / 3000 < 0.3
    assert outcomes["absent"] > 200 and outcomes["mismatch"] > 200


def test_frames_and_questions_are_many(rows: list[Row]) -> None:
    assert len(set(all_frames())) >= 250
    texts = {question.text for _, question in _asked(rows, 3000)}
    assert len(texts) > 2700


def test_the_same_seed_writes_the_same_questions(rows: list[Row]) -> None:
    assert list(corpus(random.Random(5), rows, 50)) == list(corpus(random.Random(5), rows, 50))


def test_every_target_text_is_well_formed_and_says_what_is_expected(rows: list[Row]) -> None:
    rng = random.Random(2)
    for row, question in _asked(rows, 1000):
        mode = rng.choice(("full", "brief", "none"))
        text = target_text(rng, row, FACTS, [(1, 2, 30, 40)], question.kind, question, mode)
        parsed = answer.parse(text)
        assert parsed.well_formed and parsed.kind == question.expect, text
        assert bool(parsed.reasoning) == (mode != "none")
        assert not re.search(r"\d", re.sub(r"T1|T2", "", parsed.reasoning))
        if question.expect == "mismatch":
            assert (parsed.modality, parsed.anatomy) == (row.modality, row.anatomy)
        else:
            assert parsed.class_name == question.class_name


def test_reasoning_keeps_to_its_length(rows: list[Row]) -> None:
    rng = random.Random(4)
    for row, question in _asked(rows, 500, "present"):
        lengths = {}
        for mode in ("full", "brief", "none"):
            text = target_text(rng, row, FACTS, [(1, 2, 3, 4)], "present", question, mode)
            lengths[mode] = len(answer.parse(text).reasoning.split())
        assert 24 <= lengths["full"] <= 46 and 10 <= lengths["brief"] <= 20 and lengths["none"] == 0


def test_a_readers_own_class_is_taken_at_its_word() -> None:
    row = Row(
        id="a",
        image="a.png",
        mask="a_mask.png",
        split="train",
        subset="own",
        modality="photograph",
        anatomy="foot",
        target="wound",
        disease="diabetic foot ulcer",
    )
    assert subject_of(row).kinds[0] == "present"
    rng = random.Random(0)
    texts = " ".join(write_question(rng, row, "present").text.lower() for _ in range(40))
    assert class_of(row) == "wound" and "wound" in texts and "diabetic foot ulcer" in texts
    assert "wrong_disease" not in subject_of(row).kinds


def test_what_is_said_around_a_request_names_no_lesion_organ_or_modality() -> None:
    said = {
        word
        for name, phrases in vars(context).items()
        if name.isupper() and isinstance(phrases, tuple)
        for phrase in phrases
        for word in re.findall(r"[a-z]+", phrase.lower())
    }
    table = terms()
    named = [
        wording for target in table.targets for wording in (target.name, *target.synonyms, *target.short)
    ]
    named += [word for words in (*table.modalities, *table.anatomies) for word in words.spoken]
    assert len(said) > 500
    assert said & {wording.lower() for wording in named} == set()


def _handwritten() -> list[Row]:
    return json.loads(HANDWRITTEN.read_text(encoding="utf-8"))["questions"]


def _grams(text: str, n: int) -> set[tuple[str, ...]]:
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {tuple(words[k : k + n]) for k in range(len(words) - n + 1)}


def test_handwritten_questions_are_sixty_of_four_outcomes() -> None:
    questions = _handwritten()
    assert len({q["id"] for q in questions}) == len({q["question"] for q in questions}) == 60
    outcomes = Counter(q["expect"] for q in questions)
    assert outcomes == {"present": 36, "absent": 10, "mismatch": 8, "unsupported": 6}


def test_handwritten_questions_share_no_wording_with_the_generator(rows: list[Row]) -> None:
    generated = [question.text for _, question in _asked(rows, 5000)]
    known = {" ".join(re.findall(r"[a-z0-9]+", text.lower())) for text in generated}
    grams = set().union(*(_grams(text, 4) for text in generated))
    shared, total = 0, 0
    for question in _handwritten():
        text = question["question"]
        assert " ".join(re.findall(r"[a-z0-9]+", text.lower())) not in known, text
        own = _grams(text, 4)
        shared, total = shared + len(own & grams), total + len(own)
    assert shared / total < 0.03

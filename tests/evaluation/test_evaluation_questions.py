from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from coreseg_core.answer import parse
from coreseg_core.errors import InputError
from coreseg_core.evaluation import Row, asks_of, read_manifest
from coreseg_core.evaluation.manifest import write_manifest
from training.evaluation_questions import (
    generated_questions,
    handwritten_questions,
    main,
    read_handwritten,
    without_twins,
)

Make = Callable[..., tuple[Row, ...]]
HANDWRITTEN = Path(__file__).parents[1] / "data" / "handwritten_questions.json"


def test_the_same_seed_writes_the_same_file_and_the_questions_read_back(
    make_manifest: Make, tmp_path: Path
) -> None:
    rows = make_manifest(5)
    manifest = tmp_path / "manifest.jsonl"
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        out = tmp_path / f"{name}.jsonl"
        main([str(manifest), "--seed", str(seed), "--out", str(out), "--handwritten", str(HANDWRITTEN)])
    texts = [(tmp_path / f"{name}.jsonl").read_text() for name in "abc"]
    assert texts[0] == texts[1] != texts[2]
    asks = asks_of(read_manifest(tmp_path / "a.jsonl"))
    generated = [ask for ask in asks if ask.wording == "generated"]
    assert Counter(ask.kind for ask in generated) == dict.fromkeys(
        ["present", "wrong_disease", "wrong_organ", "wrong_modality"], 5
    )
    expected = {"wrong_disease": "absent", "wrong_organ": "mismatch", "wrong_modality": "mismatch"}
    for ask in generated:
        assert parse(ask.row.answer or "").kind == expected.get(ask.kind)
    assert {ask.picture for ask in asks} == {ask.picture for ask in asks_of(rows)}


def test_lesions_are_asked_for_in_different_wordings_and_nothing_else_is(make_manifest: Make) -> None:
    rows = make_manifest(3)
    once, often = (generated_questions(rows, seed=0, wordings=count) for count in (1, 10))
    assert set(once) <= set(often)
    assert len({row.id for row in often}) == len(often)
    for row in rows:
        of_row = [one for one in often if one.image == row.image]
        present = [one.query for one in of_row if one.probe is not None and one.probe.kind == "present"]
        assert 5 <= len(present) == len(set(present)) <= 10
        assert len(of_row) - len(present) == len([one for one in once if one.image == row.image]) - 1


def test_handwritten_questions_are_asked_of_the_sets_they_fit_and_say_what_they_test(
    make_manifest: Make,
) -> None:
    rows = make_manifest(12)
    written = read_handwritten(HANDWRITTEN)
    asked = handwritten_questions(written, rows, seed=0, pictures=3)
    of_kvasir = [entry for entry in written if "kvasir" in entry["applies_to"]["subset"]]
    assert len(asked) == 3 * len(of_kvasir)
    kind_of = {row.query: row.probe.kind for row in asked if row.probe}
    assert kind_of["Any diverticula on this endoscopic view?"] == "wrong_disease"
    assert kind_of["trace the breast cancer"] == "wrong_organ"
    assert kind_of["CT abdomen was ordered; polyp visible on it?"] == "wrong_modality"
    assert kind_of["caries in the lower molars?"] == "untrained"
    assert handwritten_questions(written, make_manifest(4, disease="none"), seed=0) == ()


def test_a_picture_with_a_twin_that_was_learned_from_is_not_asked_about(
    make_manifest: Make, tmp_path: Path
) -> None:
    rows = make_manifest(6)
    with Image.open(rows[2].image_path) as picture:
        brighter = Image.eval(picture, lambda value: min(255, value + 20))
        brighter.resize((picture.width * 2, picture.height * 2)).save(tmp_path / "images" / "twin.png")
    twin = replace(rows[2], id="twin", patient="another", image="images/twin.png", mask=None)
    assert without_twins(rows, [twin]) == (*rows[:2], *rows[3:])
    assert without_twins(rows, [replace(twin, modality="MRI T1")]) == rows
    assert without_twins(rows, []) == rows


def test_sets_that_were_kept_out_of_training_are_asked_about_as_such(
    make_manifest: Make, tmp_path: Path
) -> None:
    rows = [
        replace(row, weights=weights)
        for row, weights in zip(make_manifest(3), ("yes", "no", None), strict=True)
    ]
    manifest, out = tmp_path / "manifest.jsonl", tmp_path / "asked.jsonl"
    write_manifest(manifest, rows)
    main([str(manifest), "--weights", "all", "--out", str(out)])
    asked = read_manifest(out)
    domains = {row.image: {one.domain for one in asked if one.image == row.image} for row in rows}
    assert list(domains.values()) == [{"id"}, {"ood"}, {"id"}]
    main([str(manifest), "--weights", "yes", "--out", str(out)])
    assert {row.image for row in read_manifest(out)} == {rows[0].image}


def test_there_are_sixty_handwritten_questions_of_every_kind() -> None:
    written = read_handwritten(HANDWRITTEN)
    assert len(written) == len({entry["question"] for entry in written}) == 60
    assert {entry["expect"] for entry in written} == {"present", "absent", "mismatch", "unsupported"}


def test_a_file_of_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"schema": "other/1", "questions": []}))
    with pytest.raises(InputError, match="schema"):
        read_handwritten(tmp_path / "x.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_handwritten(tmp_path / "none.json")


def test_every_real_val_row_gets_its_questions(lesions: Path, tmp_path: Path) -> None:
    out = tmp_path / "questions.jsonl"
    main([str(lesions), "--out", str(out), "--handwritten", str(HANDWRITTEN)])
    asks = asks_of(read_manifest(out, root=lesions.parent))
    wordings = Counter(ask.wording for ask in asks)
    assert wordings["generated"] > 1500 and 300 < wordings["handwritten"] <= 480

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from coreseg_core.errors import InputError
from coreseg_core.evaluation import (
    Row,
    asks_of,
    read_manifest,
    sample_of_sets,
    shifted_asks,
    shuffled_asks,
    spread,
)
from coreseg_core.evaluation.ask import modality_of, target_of
from coreseg_core.evaluation.rows import Probe
from coreseg_core.terms import terms, understand

Make = Callable[..., tuple[Row, ...]]


def test_a_row_is_asked_for_its_target_and_for_what_it_surely_does_not_show(make_manifest: Make) -> None:
    row = make_manifest(1)[0]
    asks = {ask.kind: ask for ask in asks_of([row])}
    assert set(asks) == {"present", "wrong_disease", "wrong_organ", "wrong_modality"}
    own = target_of(row)
    assert own is not None and own.name == "polyp"
    assert understand(asks["present"].question).targets == ("polyp",)
    said = understand(asks["wrong_disease"].question)
    assert set(said.targets + said.foils) <= set(own.absent_targets + own.absent_foils)
    organ = terms().target(understand(asks["wrong_organ"].question).targets[0]).organ
    assert organ != own.organ
    wrong = understand(asks["wrong_modality"].question)
    assert wrong.targets == ("polyp",) and wrong.modality_family not in (None, "ES")


def test_a_lesion_free_row_is_asked_for_the_target_it_lacks(make_manifest: Make) -> None:
    row = make_manifest(1, disease="none", area_frac=0)[0]
    kinds = [ask.kind for ask in asks_of([row])]
    assert kinds[0] == "lesion_free" and "present" not in kinds


def test_a_query_is_asked_as_it_stands(make_manifest: Make) -> None:
    row = make_manifest(1)[0]
    for answer, kind in [
        (None, "present"),
        ("<answer>No ulcer is seen.</answer>", "wrong_disease"),
        ("<answer>The question does not fit: this is endoscopy of colon.</answer>", "wrong_modality"),
    ]:
        (ask,) = asks_of([replace(row, query="what is this?", answer=answer)])
        assert (ask.question, ask.kind, ask.wording) == ("what is this?", kind, "reader")
    (ask,) = asks_of([replace(row, query="?", probe=Probe("untrained", "handwritten"))])
    assert (ask.kind, ask.wording, ask.primary) == ("untrained", "handwritten", False)


def test_questions_of_a_row_do_not_depend_on_the_other_rows(make_manifest: Make) -> None:
    rows = make_manifest(6)
    alone = [ask.question for ask in asks_of(rows[3:4])]
    among = [ask.question for ask in asks_of(rows) if ask.row is rows[3]]
    assert alone == among
    assert [ask.question for ask in asks_of(rows, seed=1)] != [ask.question for ask in asks_of(rows)]


def test_a_row_outside_the_table_is_asked_in_its_own_words(make_manifest: Make) -> None:
    row = make_manifest(1, target="gizmo", anatomy="elbow", modality="thermography")[0]
    (ask,) = asks_of([row])
    assert ask.kind == "present" and "gizmo" in ask.question
    assert modality_of(row) is None


def test_shuffled_asks_show_another_patient_of_the_same_set(make_manifest: Make) -> None:
    rows = make_manifest(8)
    shuffled = shuffled_asks(asks_of(rows))
    assert len(shuffled) == 8
    assert all(ask.shown.patient != ask.row.patient for ask in shuffled)
    assert shuffled_asks(asks_of(rows[:1])) == ()


def test_shifted_asks_are_the_answerable_ones_once_more(make_manifest: Make) -> None:
    asks = asks_of(make_manifest(4))
    shifted = shifted_asks(asks)
    assert [ask.row.id for ask in shifted] == ["row0", "row1", "row2", "row3"]
    assert shifted == shifted_asks(asks)
    assert len({ask.picture for ask in (*asks, *shifted)}) == 8
    assert shifted_asks(shifted) == ()


def test_a_quick_look_is_spread_over_the_whole_list(make_manifest: Make) -> None:
    asks = asks_of(make_manifest(9))
    chosen = spread(asks, pictures=3)
    assert {ask.row.id for ask in chosen} == {"row0", "row3", "row6"}
    assert spread(asks, pictures=99) == asks
    with pytest.raises(InputError):
        spread(asks, pictures=0)


def test_a_part_of_each_set_is_drawn_by_seed_with_all_its_questions(make_manifest: Make) -> None:
    rows = [
        replace(row, subset="abc"[n % 3], disease="polyp" if n % 2 else "none")
        for n, row in enumerate(make_manifest(24))
    ]
    asks = asks_of(rows)
    chosen = sample_of_sets(asks, pictures=2)
    pictures = {ask.row.id: (ask.row.subset, ask.row.lesion_free) for ask in chosen}
    assert Counter(pictures.values()) == dict.fromkeys(
        [(s, free) for s in "abc" for free in (True, False)], 2
    )
    assert chosen == tuple(ask for ask in asks if ask.row.id in pictures)
    assert sample_of_sets(asks, pictures=2) == chosen != sample_of_sets(asks, pictures=2, seed=1)
    assert sample_of_sets(asks, pictures=99) == asks
    with pytest.raises(InputError):
        sample_of_sets(asks, pictures=0)


def test_every_real_row_whose_weights_ship_can_be_asked_all_kinds(lesions: Path) -> None:
    rows = [row for row in read_manifest(lesions) if row.weights == "yes" and row.split == "val"]
    asked = Counter(ask.kind for ask in asks_of(rows))
    assert asked["present"] + asked["lesion_free"] == asked["wrong_modality"] == asked["wrong_organ"]
    assert all(target_of(row) is not None for row in rows if row.subset != "cxr_opacity")

"""A row that brings its question keeps it: its kind, its class, its right answer, and no other beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from raw_sets import FREE, LESIONS, lines

from coreseg_core.answer import compose_absent, compose_mismatch, parse
from coreseg_core.errors import InputError
from coreseg_core.evaluation.manifest import read_manifest, write_manifest
from coreseg_core.evaluation.rows import Probe, Row
from training.dataset.asked import questions
from training.dataset.reasoning import ReasonPlan, reason
from training.dataset.writers import OfflineWriter
from training.evaluation_questions import generated_questions


def reasoned(manifest: Path, out: str, **plan: Any) -> tuple[Row, ...]:
    path = manifest.with_name(out)
    reason(manifest, path, OfflineWriter(), plan=ReasonPlan(**plan), server=None, progress=lambda *_: None)
    return read_manifest(path)


@pytest.mark.parametrize("seed", [0, 7])
def test_what_was_asked_once_is_answered_the_same_when_the_step_is_repeated_on_its_output(
    imported: Path, seed: int
) -> None:
    asked = generated_questions(read_manifest(imported), seed=3)
    write_manifest(imported.with_name("asked.jsonl"), asked)
    first = reasoned(imported.with_name("asked.jsonl"), "first.jsonl", mixed=True)
    again = reasoned(imported.with_name("first.jsonl"), "again.jsonl", mixed=True, seed=seed)
    assert [row.id for row in again] == [row.id for row in first] == [row.id for row in asked]
    for before, row, repeated in zip(asked, first, again, strict=True):
        assert row.query == before.query and row.probe == before.probe == repeated.probe
        assert row.answer == repeated.answer and parse(row.answer or "").well_formed
        assert before.answer in (None, row.answer)
    kinds = {row.probe.kind for row in first if row.probe is not None}
    assert kinds == {"present", "lesion_free", "wrong_disease", "wrong_organ", "wrong_modality"}
    assert not (imported.with_name("first") / "left_out.jsonl").read_text()


def test_a_denied_disease_keeps_its_name(imported: Path) -> None:
    row = read_manifest(imported)[0]
    denied = compose_absent("mastitis")
    write_manifest(
        imported,
        [
            replace(
                row, id="probed", query="Mastitis?", answer=denied, probe=Probe("wrong_disease", "reader")
            ),
            replace(row, id="bare", query="Mastitis?", answer=denied),
        ],
    )
    for found in reasoned(imported, "r.jsonl"):
        assert found.probe == Probe("wrong_disease", "reader")
        assert found.answer == denied and "mastitis" in (found.reasoning or "")


def test_a_reader_s_bare_question_asks_for_what_is_outlined_and_may_have_a_second(imported: Path) -> None:
    rows = [
        replace(row, id=f"r{number}", query="What is here?")
        for number, row in enumerate(read_manifest(imported) * 4)
    ]
    asked = questions(rows, seed=0, mixed=True)
    own = [row for row in asked if "#" not in row.id]
    assert [row.query for row in own] == ["What is here?"] * 4 * (LESIONS + FREE)
    assert {row.probe for row in own} == {Probe("present", "reader"), Probe("lesion_free", "reader")}
    second = [row for row in asked if "#" in row.id]
    assert second and all(row.query != "What is here?" for row in second)
    assert questions(asked, seed=0, mixed=True) == asked


def test_handwritten_mismatches_need_no_answer_of_their_own(imported: Path) -> None:
    row = replace(
        read_manifest(imported)[0], query="Liver tumor on CT?", probe=Probe("wrong_organ", "handwritten")
    )
    write_manifest(imported, [row])
    (found,) = reasoned(imported, "r.jsonl")
    assert (found.probe, found.answer) == (row.probe, compose_mismatch(row.modality, row.anatomy))


@pytest.mark.parametrize(
    ("lesion_free", "kind"),
    [(False, "wrong_disease"), (False, "untrained"), (False, "lesion_free"), (True, "present")],
)
def test_a_question_without_a_known_answer_is_refused_before_any_work(
    imported: Path, lesion_free: bool, kind: Any
) -> None:
    rows = read_manifest(imported)
    at = next(number for number, row in enumerate(rows) if row.lesion_free is lesion_free)
    changed = list(rows)
    changed[at] = replace(rows[at], query="Mastitis?", probe=Probe(kind, "handwritten"))
    write_manifest(imported, changed)
    with pytest.raises(InputError, match=f"'{kind}', whose right answer") as refused:
        reasoned(imported, "r.jsonl")
    assert "'answer'" in refused.value.remedy
    assert not (imported.with_name("r") / "drafts.jsonl").exists()
    assert len(lines(imported)) == len(rows)

"""What a final label and its record teach: which slices, with what weight, in whose words, and which teach nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reading_room import ReadingRoom, blob

from coreseg_core.answer import parse
from coreseg_core.errors import InputError
from coreseg_core.evaluation.ask import asks_of, target_of
from coreseg_core.evaluation.corrections import (
    CHANGED_WEIGHT,
    MIN_HELD_PATIENTS,
    CorrectionSplit,
    split_corrections,
)
from coreseg_core.evaluation.manifest import load_row, read_manifest
from coreseg_core.evaluation.rows import Row
from coreseg_core.imaging.png import png_bytes
from coreseg_core.limits import Limits
from coreseg_core.models.preset import load_preset
from coreseg_core.terms import terms
from lib.learning.corrections import Collected, collect, secret_of
from training.tuning.proof.reader import label_file

NAME = "Smith^John"


def gathered(room: ReadingRoom) -> Collected:
    manifest = room.folder.parent / "run" / "manifest.jsonl"
    preset = load_preset("lite")
    found = collect(room.store, manifest, preset=preset, limits=Limits(), secret=b"x")
    assert read_manifest(manifest) == found.rows
    return found


def test_changed_slices_weigh_more_than_accepted_ones_and_accepted_absences_are_negatives(
    room: ReadingRoom,
) -> None:
    room.corrected("a", blob(1, 2), blob(1, 2, at=(12, 9)) | blob(3))
    rows = gathered(room).rows
    assert [row.weight for row in rows if row.mask] == [CHANGED_WEIGHT] * 3
    absent = [row for row in rows if row.mask is None]
    assert [(row.weight, row.disease, row.lesion_free) for row in absent] == [(1.0, "none", True)] * 3
    assert {parse(row.answer or "").kind for row in absent} == {"absent"}
    assert {row.origin for row in rows} == {"correction"}
    assert {row.query for row in rows} == {"Is there a brain tumor on this FLAIR?"}
    assert {(row.target, row.modality, row.anatomy) for row in rows} == {
        ("brain tumor", "MRI FLAIR", "brain")
    }


def test_the_picture_and_mask_of_a_row_are_what_the_reader_saw(room: ReadingRoom) -> None:
    room.corrected("a", blob(2), blob(2, at=(12, 9)))
    row = next(row for row in gathered(room).rows if row.mask)
    rgb, mask = load_row(row)
    assert rgb.shape == (32, 40, 3)
    assert mask.sum() == 64
    ys, xs = np.nonzero(mask)
    # Columns run with i and rows against j or with it, never across.
    assert (np.ptp(xs), np.ptp(ys)) == (7, 7)
    assert parse(row.answer or "").well_formed
    (ask,) = asks_of([row])
    assert (ask.kind, ask.wording) == ("present", "reader")


def test_a_mask_that_the_reader_took_away_is_a_weighty_negative(room: ReadingRoom) -> None:
    room.corrected("a", blob(2), blob())
    rows = gathered(room).rows
    assert [row.weight for row in rows if row.weight > 1] == [CHANGED_WEIGHT]
    assert all(row.lesion_free for row in rows)


def test_where_the_model_gave_no_answer_an_empty_mask_teaches_nothing(room: ReadingRoom) -> None:
    room.image("a")
    room.answer("a", blob(), outcomes={0: "uncertain", 1: "absent", 2: "unsupported", 3: "error"})
    room.submit("a", blob(2))
    rows = gathered(room).rows
    assert sorted((row.lesion_free, row.weight) for row in rows) == [(False, CHANGED_WEIGHT), (True, 1.0)]


def test_words_of_the_reader_are_kept_where_it_is_clear_which_slice_they_are_about(room: ReadingRoom) -> None:
    room.image("a")
    record = room.answer("a", blob(2), outcomes={2: "present"})
    edits = {"by": "r", "at": "2026-01-01T00:00:00Z", "text": "One bright spot, no edema.", "slices": [2]}
    room.submit("a", blob(2, at=(9, 9)), {"params": {"record": {**record, "edits": edits}}})
    (row,) = gathered(room).rows
    assert row.reasoning == "One bright spot, no edema."
    assert parse(row.answer or "").reasoning == "One bright spot, no edema."


def test_labels_that_teach_nothing_are_left_out_with_a_reason(room: ReadingRoom) -> None:
    room.corrected("a", blob(1), blob(2))
    room.image("unasked")
    room.submit("unasked", blob(1))
    room.image("rejected")
    record = room.answer("rejected", blob(1))
    room.submit("rejected", blob(2), {"params": {"record": record, "verdict": "rejected"}})
    room.image("unknown", modality=None)
    room.answer("unknown", blob(1), query="Is there a brain tumor?", answer="")
    room.submit("unknown", blob(1))
    room.image("vague")
    room.answer("vague", blob(1), query="What do you see?", answer="")
    room.submit("vague", blob(1))
    found = gathered(room)
    assert found.images == 1
    assert sum(found.left_out.values()) == 4
    assert {reason.split()[0] for reason in found.left_out} == {"nobody", "the", "neither"}


def test_stock_clients_submit_without_a_record_and_the_last_question_counts(room: ReadingRoom) -> None:
    room.image("a")
    room.answer("a", blob(1))
    room.submit("a", blob(1, at=(14, 8)))
    changed = [row for row in gathered(room).rows if row.weight == CHANGED_WEIGHT]
    assert [row.query for row in changed] == ["Is there a brain tumor on this FLAIR?"]


def test_nothing_submitted_is_refused_with_the_reason(room: ReadingRoom) -> None:
    room.image("a")
    with pytest.raises(InputError, match="no image has a final label"):
        gathered(room)


def test_neither_manifest_nor_file_names_name_a_patient(room: ReadingRoom, tmp_path: Path) -> None:
    room.image(NAME, patient=NAME)
    room.answer(NAME, blob(1))
    room.submit(NAME, blob(2))
    rows = gathered(room).rows
    written = (tmp_path / "run" / "manifest.jsonl").read_text()
    files = [path.name for path in (tmp_path / "run").rglob("*")]
    assert "Smith" not in written + "".join(files)
    assert len({row.patient for row in rows}) == 1


def test_images_of_one_patient_are_of_one_patient(room: ReadingRoom) -> None:
    for number in range(2):
        room.image(f"scan{number}", patient="P1")
        room.answer(f"scan{number}", blob(1))
        room.submit(f"scan{number}", blob(2))
    assert len({row.patient for row in gathered(room).rows}) == 1


def test_a_secret_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    secret = secret_of(tmp_path / "runs")
    assert secret_of(tmp_path / "runs") == secret
    assert (tmp_path / "runs" / ".secret").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("target", terms().targets, ids=lambda target: target.name)
def test_rows_of_corrections_mean_the_class_that_was_asked_about(target: object) -> None:
    from lib.learning.subject import subject_of

    name = target.name  # type: ignore[attr-defined]
    subject = subject_of({"query": f"Is there a {name}?", "slices": []}, family="CT")
    assert not isinstance(subject, str)
    row = Row(
        id="x",
        image="x.png",
        split="train",
        subset="corrections",
        modality=subject.modality,
        anatomy=subject.anatomy,
        disease=subject.target,
        target=subject.target,
    )
    found = target_of(row)
    assert found is not None and found.name == name


def made_up(patients: int, slices: int = 3, *, changed: bool = True) -> list[Row]:
    return [
        Row(
            id=f"{patient}/{index}",
            image="x.png",
            split="train",
            subset="corrections",
            modality="CT",
            anatomy="liver",
            disease="liver lesion",
            target="liver lesion",
            patient=f"p{patient}",
            weight=CHANGED_WEIGHT if changed else 1.0,
        )
        for patient in range(patients)
        for index in range(slices)
    ]


def patients_of(split: CorrectionSplit) -> tuple[set[str], set[str]]:
    return {row.patient_key for row in split.learn}, {row.patient_key for row in split.held}


def test_no_patient_is_learned_from_and_judged_by() -> None:
    for count in (4, 5, 20, 43):
        learn, held = patients_of(split_corrections(made_up(count)))
        assert not learn & held
        assert len(learn | held) == count
        assert len(held) >= max(MIN_HELD_PATIENTS, 0.2 * count)


def test_a_patient_that_was_learned_from_judges_no_later_version() -> None:
    first = split_corrections(made_up(10))
    learned = patients_of(first)[0]
    for count in (14, 30):
        split = split_corrections(made_up(count), learned=learned)
        assert not patients_of(split)[1] & learned
        learned = learned | patients_of(split)[0]


@pytest.mark.parametrize(
    ("rows", "learned", "why"),
    [
        (made_up(2), (), "6 slices of 2 patients"),
        (made_up(5, 1), (), "5 slices of 5 patients"),
        (made_up(8, changed=False), (), "None of the 24 slices was changed"),
        (made_up(8), [f"p{number}" for number in range(7)], "1 patients are left"),
    ],
)
def test_too_little_to_learn_from_or_to_judge_by_is_refused_with_the_numbers(
    rows: list[Row], learned: list[str], why: str
) -> None:
    with pytest.raises(InputError, match=why):
        split_corrections(rows, learned=learned)


def test_a_picture_is_learned_from_like_a_slice_and_the_proofs_label_lies_on_it(
    room: ReadingRoom, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (30, 44), dtype=np.uint8)
    mask = np.zeros((30, 44), bool)
    mask[5:12, 20:40] = True
    (tmp_path / "picture.png").write_bytes(png_bytes(grey))
    (tmp_path / "label.nii.gz").write_bytes(label_file(mask))
    room.store.add_image("p", str(tmp_path / "picture.png"), {})
    record = {
        "id": "r",
        "query": "Is there a brain tumor on this FLAIR?",
        "scope": {"axis": "k", "start": 0, "stop": 1},
        "slices": [{"axis": "k", "index": 0, "outcome": "absent"}],
    }
    room.store.save_label("p", str(tmp_path / "label.nii.gz"), "final", {"params": {"record": record}})
    (row,) = gathered(room).rows
    rgb, learned = load_row(row)
    assert (rgb[..., 0] == grey).all()
    assert (learned == mask).all()

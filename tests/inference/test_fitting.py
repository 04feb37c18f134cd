"""What words and header rule out is refused before the model is asked, and a refusal is never an absence."""

from __future__ import annotations

import pytest
from discs import ball_volume
from spelled import ABSENT, Heard, Speaker

from coreseg_core.inference.fitting import FAMILY_NAMES, LITE_MODALITIES, misreading, refusal
from coreseg_core.record import Query, ReaderPrompts, Scope
from coreseg_core.taught import Taught
from coreseg_core.terms import terms

TERMS = terms()
FAMILIES = sorted(FAMILY_NAMES)
# A finer name of something that is outlined ("meningioma") is asked, though some pictures surely lack it.
OUTLINED = {
    wording
    for target in TERMS.targets
    for wording in (*target.synonyms, *(word for words in target.diseases.values() for word in words))
}
UNTRAINED = sorted({*TERMS.untrained, *TERMS.foils} - OUTLINED)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("words", TERMS.modalities, ids=lambda words: words.name)
def test_a_question_of_another_modality_than_the_header_is_a_mismatch(family: str, words: object) -> None:
    name, group = words.name, words.group  # type: ignore[attr-defined]
    found = refusal(f"Is there a lesion on this {name}?", modality=family, preset="core-seg-3b")
    if group == family:
        assert found is None
    else:
        assert found is not None
        assert found.outcome == "mismatch"
        assert FAMILY_NAMES[family] in found.reason


@pytest.mark.parametrize("modality", [None, "OT"])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_image_whose_modality_is_unknown_refuses_no_modality_word(
    modality: str | None, family: str
) -> None:
    question = f"Is there a lesion on this {FAMILY_NAMES[family]}?"
    assert refusal(question, modality=modality, preset="core-seg-3b") is None


@pytest.mark.parametrize("name", UNTRAINED)
def test_lite_says_unsupported_for_what_it_was_never_trained_to_find(name: str) -> None:
    found = refusal(f"Is there a {name}?", modality=None, preset="lite")
    assert found is not None
    assert found.outcome == "unsupported"


def test_nearly_everything_in_the_table_of_the_untrained_is_refused() -> None:
    assert len(UNTRAINED) >= 0.95 * len({*TERMS.untrained, *TERMS.foils})


@pytest.mark.parametrize("target", [target.name for target in TERMS.targets])
def test_lite_is_asked_for_everything_it_was_trained_to_find(target: str) -> None:
    assert refusal(f"Is there a {target}?", modality=None, preset="lite") is None


@pytest.mark.parametrize("question", ["Is there a lesion?", "anything abnormal here?", "what do you see"])
def test_a_question_that_names_nothing_special_is_asked(question: str) -> None:
    assert refusal(question, modality="CT", preset="lite") is None


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - LITE_MODALITIES))
def test_lite_says_unsupported_for_a_kind_of_image_it_never_saw(family: str) -> None:
    found = refusal("Is there a lesion?", modality=family, preset="lite")
    assert found is not None
    assert found.outcome == "unsupported"


@pytest.mark.parametrize("name", UNTRAINED)
def test_what_lite_was_taught_since_is_asked_and_nothing_else(name: str) -> None:
    taught = Taught(targets=frozenset({name}))
    assert refusal(f"Is there a {name}?", modality=None, preset="lite", taught=taught) is None
    other = next(other for other in ("foot ulcer", "kidney stone") if other != name)
    assert refusal(f"Is there a {other}?", modality=None, preset="lite", taught=taught) is not None


def test_a_kind_of_image_that_lite_was_taught_is_asked_about() -> None:
    assert refusal("Is there a lesion?", modality="XR", preset="lite") is not None
    taught = Taught(families=frozenset({"XR"}))
    assert refusal("Is there a lesion?", modality="XR", preset="lite", taught=taught) is None


def test_a_larger_preset_is_not_held_to_the_list_of_lite() -> None:
    assert refusal("Is there a prostate cancer?", modality="MR", preset="core-seg-3b") is None


@pytest.mark.parametrize(
    ("question", "modality", "outcome"),
    [
        ("Is there a brain tumor on this CT?", "MR", "mismatch"),
        ("Outline the tumor on this MRI", "CT", "mismatch"),
        ("Is there a kidney stone?", "CT", "unsupported"),
        ("Is there a fracture?", "MR", "unsupported"),
    ],
)
def test_a_refused_question_touches_no_model_and_marks_nothing(
    says: Speaker, encoder: Heard, question: str, modality: str, outcome: str
) -> None:
    volume, _ = ball_volume(modality=modality)
    segmenter = says(ABSENT, check_words=True)
    record, labels = segmenter.answer(volume, Query(question), Scope(2, 2, 9), image_id="a")
    assert record.outcome == outcome
    assert [finding.outcome for finding in record.slices] == [outcome] * 7
    assert all(finding.reason and not finding.mask.any() for finding in record.slices)
    assert not labels.any()
    assert encoder.slices == 0
    assert segmenter.answering.counts.picture_prefills == 0


def test_who_points_at_what_lite_never_learned_gets_a_mask_and_a_warning(says: Speaker) -> None:
    volume, _ = ball_volume(modality="CT")
    marks = ReaderPrompts(points_xy_px=((9.0, 9.0),), points_inside=(True,))
    query = Query("Is there a kidney stone?", "none", marks)
    (finding,) = says(ABSENT, check_words=True).segment(volume, query, Scope(2, 4, 5))
    assert finding.outcome in ("present", "uncertain")
    assert "never trained to find: kidney stone" in finding.reason
    assert "marks" in finding.reason


def test_who_points_on_a_picture_gets_a_mask_too(says: Speaker) -> None:
    volume, _ = ball_volume()
    rgb = volume.voxels[:, :, :3].clip(0, 255).astype("uint8")
    marks = ReaderPrompts(boxes_xyxy_px=((0, 4, 3, 20),))
    pointed, plain = says(ABSENT, check_words=True).answer_picture(
        rgb, [Query("kidney stone", "none", marks), Query("kidney stone", "none")]
    )
    assert pointed.outcome in ("present", "uncertain")
    assert "never trained" in pointed.reason
    assert plain.outcome == "unsupported"


def test_pointing_makes_no_ct_an_mri(says: Speaker) -> None:
    volume, _ = ball_volume(modality="CT")
    marks = ReaderPrompts(points_xy_px=((9.0, 9.0),), points_inside=(True,))
    query = Query("Is there a lesion on this MRI?", "none", marks)
    (finding,) = says(ABSENT, check_words=True).segment(volume, query, Scope(2, 4, 5))
    assert finding.outcome == "mismatch"


def test_a_picture_is_held_to_the_words_too(says: Speaker) -> None:
    volume, _ = ball_volume()
    rgb = volume.voxels[:, :, :3].clip(0, 255).astype("uint8")
    findings = says(ABSENT, check_words=True).answer_picture(
        rgb, [Query("kidney stone"), Query("liver lesion", "none")]
    )
    assert [finding.outcome for finding in findings] == ["unsupported", "absent"]


@pytest.mark.parametrize(
    ("said", "modality", "grey", "doubted"),
    [
        ("Endoscopy of colon: nothing focal stands out.", None, True, True),
        ("Endoscopy of colon: nothing focal stands out.", None, False, False),
        ("CT of liver", "MR", True, True),
        ("MRI T1 contrast", "MR", True, False),
        ("ultrasound", None, True, False),
        ("", "CT", True, False),
    ],
)
def test_a_denial_about_what_the_image_cannot_be_is_doubted(
    said: str, modality: str | None, grey: bool, doubted: bool
) -> None:
    assert bool(misreading(said, modality=modality, grey=grey)) is doubted


def test_a_denial_that_misreads_the_image_is_uncertain_and_says_why(says: Speaker) -> None:
    volume, _ = ball_volume()
    reply = "<answer>The question does not fit: this is endoscopy of colon.</answer>"
    (finding,) = says(reply).segment(volume, Query("lesion", "none"), Scope(2, 4, 5))
    assert finding.outcome == "uncertain"
    assert "endoscopy" in finding.reason
    assert finding.confidence == 0

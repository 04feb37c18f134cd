"""What corrections taught a version stands in its manifest, is read back, and counts only from enough patients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from coreseg_core.errors import CheckpointError
from coreseg_core.evaluation.rows import Row
from coreseg_core.taught import Taught, read_taught
from training.tuning.parents import MIN_TAUGHT_PATIENTS, inherited, taught_by

STONE = Row(
    id="a",
    folder=Path(),
    image="a.png",
    mask="a.mask.png",
    split="train",
    subset="corrections",
    modality="chest X-ray",
    anatomy="body",
    disease="kidney stone",
    target="kidney stone",
    patient="p",
)


def stones(count: int, *, patients: int) -> list[Row]:
    return [replace(STONE, id=str(n), patient=f"p{n % patients}") for n in range(count)]


def test_enough_patients_teach_a_target_and_a_kind_of_image() -> None:
    found = read_taught(taught_by(stones(MIN_TAUGHT_PATIENTS, patients=MIN_TAUGHT_PATIENTS), {}))
    assert found == Taught(targets=frozenset({"kidney stone"}), families=frozenset({"XR"}))


def test_many_slices_of_few_patients_teach_nothing() -> None:
    found = read_taught(taught_by(stones(40, patients=MIN_TAUGHT_PATIENTS - 1), {}))
    assert found == Taught()


def test_accepted_absences_teach_no_target() -> None:
    rows = [replace(row, mask=None, disease="none") for row in stones(10, patients=10)]
    assert read_taught(taught_by(rows, {})) == Taught()


def test_what_the_parent_was_taught_stays() -> None:
    parent = {"taught": {"targets": ["spleen"], "families": []}}
    found = read_taught(taught_by(stones(9, patients=9), parent))
    assert found.targets == {"spleen", "kidney stone"}


def test_weights_whose_manifest_says_nothing_were_taught_nothing() -> None:
    assert read_taught({}) == Taught()


@pytest.mark.parametrize("stated", [[], 3, {"targets": ["a"]}, {"targets": [1], "families": []}, "ab"])
def test_a_manifest_that_says_it_unreadably_is_an_error_with_a_remedy(stated: object) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_taught({"taught": stated})


def test_a_version_scales_confidences_as_its_first_calibrated_ancestor_and_claims_no_measurement() -> None:
    scalings = {name: {"temperature": 0.5, "shift": 1.0} for name in ("present", "absent")}
    shipped = {"version": "v0", "confidence": {"scalings": scalings, "measured": {"n": 610}}}
    child = inherited(shipped)
    assert child["confidence"] == {"scalings": scalings, "fitted_on": "v0"}
    assert inherited({**child, "version": "v1"}) == child


def test_a_version_is_prompted_as_its_parent_was() -> None:
    assert inherited({"version": "v0", "mask_prompt": "boxes"}) == {"mask_prompt": "boxes"}
    assert inherited({"version": "v0"}) == {}

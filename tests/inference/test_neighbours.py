"""A part on one slice alone is doubted where its neighbours were asked, and only if it is wider than they lie apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from coreseg_core.imaging import VolumeGeometry
from coreseg_core.imaging.slicing import placement_of
from coreseg_core.inference.neighbours import ALONE, agreed, stacked
from coreseg_core.record import Outcome, SliceFinding

SHAPE = (20, 16, 7)
AXIS = 2


def _geometry(apart_mm: float = 2.0, pixel_mm: float = 1.0) -> VolumeGeometry:
    return VolumeGeometry(SHAPE, np.diag([-pixel_mm, pixel_mm, apart_mm, 1.0]))


def _findings(
    mask_ijk: np.ndarray, geometry: VolumeGeometry, outcomes: Mapping[int, Outcome] | None = None
) -> tuple[SliceFinding, ...]:
    """Return findings of all slices, `absent` where the mask is empty; `outcomes` says otherwise."""
    placement = placement_of(geometry, AXIS)
    said = dict(outcomes or {})
    findings = []
    for index in range(SHAPE[AXIS]):
        shown = np.ascontiguousarray(placement.show(mask_ijk[..., index]))
        outcome = said.get(index, "present" if shown.any() else "absent")
        findings.append(SliceFinding(axis=AXIS, index=index, outcome=outcome, mask=shown, confidence=0.8))
    return tuple(findings)


def _square(index: int, side: int = 4) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[3 : 3 + side, 5 : 5 + side, index] = True
    return mask


def test_findings_are_stacked_in_their_places() -> None:
    mask = _square(2) | _square(3, side=2)
    mask[18, 1, 6] = True
    assert np.array_equal(stacked(_findings(mask, _geometry()), _geometry()), mask)


@pytest.mark.parametrize("index", [0, 3, SHAPE[AXIS] - 1])
def test_a_part_that_no_neighbour_sees_leaves_its_slice_uncertain(index: int) -> None:
    found = agreed(_findings(_square(index), _geometry()), _geometry())
    assert found[index].outcome == "uncertain"
    assert found[index].reason == ALONE
    assert not found[index].mask.any()
    assert not stacked(found, _geometry()).any()
    assert {finding.outcome for finding in found} == {"absent", "uncertain"}


def test_a_part_on_two_slices_that_touch_at_a_corner_is_kept() -> None:
    mask = _square(2)
    mask[7:10, 9:12, 3] = True
    findings = _findings(mask, _geometry())
    assert agreed(findings, _geometry()) == findings


@pytest.mark.parametrize("apart_mm, kept", [(4.0, False), (4.5, False), (5.0, True), (8.0, True)])
def test_a_part_narrower_than_slices_lie_apart_may_fit_between_them(apart_mm: float, kept: bool) -> None:
    geometry = _geometry(apart_mm)
    found = agreed(_findings(_square(3), geometry), geometry)
    assert stacked(found, geometry).any() == kept


@pytest.mark.parametrize(
    "outcome, kept", [("absent", False), ("mismatch", False), ("uncertain", True), ("error", True)]
)
def test_only_a_clear_answer_of_a_neighbour_counts(outcome: Outcome, kept: bool) -> None:
    found = agreed(_findings(_square(3), _geometry(), {4: outcome}), _geometry())
    assert found[3].mask.any() == kept


def test_beside_a_slice_that_was_not_asked_a_part_is_kept() -> None:
    asked = _findings(_square(3), _geometry())[3:]
    assert agreed(asked, _geometry()) == asked


def test_what_stands_alone_goes_from_a_slice_whose_other_lesion_stays() -> None:
    mask = _square(3) | _square(4)
    mask[13:18, 10:15, 3] = True
    found = agreed(_findings(mask, _geometry()), _geometry())
    assert found[3].outcome == "present"
    assert np.array_equal(stacked(found, _geometry()), _square(3) | _square(4))
    assert np.array_equal(mask[..., 4], stacked(found, _geometry())[..., 4])


def test_a_volume_of_one_slice_has_no_neighbours() -> None:
    geometry = VolumeGeometry((20, 16, 1), np.diag([-1.0, 1.0, 2.0, 1.0]))
    shown = np.zeros((16, 20), dtype=bool)
    shown[4:9, 4:9] = True
    alone = (SliceFinding(axis=AXIS, index=0, outcome="present", mask=shown),)
    assert agreed(alone, geometry) == alone

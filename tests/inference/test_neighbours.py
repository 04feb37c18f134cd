"""A part on one slice alone is doubted where both neighbours were asked, if it is too wide to lie between them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreseg_core.imaging import VolumeGeometry
from coreseg_core.imaging.slicing import placement_of
from coreseg_core.inference.neighbours import ALONE, PARTLY_ALONE, agreed, stacked
from coreseg_core.record import Claim, Outcome, SliceFinding

SHAPE = (40, 32, 7)
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
    for index in range(mask_ijk.shape[AXIS]):
        shown = np.ascontiguousarray(placement.show(mask_ijk[..., index]))
        outcome = said.get(index, "present" if shown.any() else "absent")
        findings.append(SliceFinding(axis=AXIS, index=index, outcome=outcome, mask=shown, confidence=0.8))
    return tuple(findings)


def _square(index: int, side: int = 6, at: int = 5) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[at : at + side, at + 2 : at + 2 + side, index] = True
    return mask


def _kept(mask_ijk: np.ndarray, geometry: VolumeGeometry) -> np.ndarray:
    return stacked(agreed(_findings(mask_ijk, geometry), geometry), geometry)


def test_findings_are_stacked_in_their_places() -> None:
    mask = _square(2) | _square(3, side=2)
    mask[38, 1, 6] = True
    assert np.array_equal(stacked(_findings(mask, _geometry()), _geometry()), mask)


def test_a_part_that_no_neighbour_sees_leaves_its_slice_uncertain_and_nothing_said_of_it() -> None:
    findings = list(_findings(_square(3), _geometry()))
    seen = (Claim("One lesion", "number", "one", "supported"),)
    findings[3] = replace(findings[3], reasoning="One lesion is seen.", claims=seen, box_mask_iou=0.9)
    found = agreed(findings, _geometry())
    assert found[3].outcome == "uncertain"
    assert found[3].reason == ALONE
    assert found[3].confidence == 0 and found[3].box_mask_iou is None
    assert all(claim.verdict == "unchecked" for claim in found[3].claims)
    assert not stacked(found, _geometry()).any()
    assert {finding.outcome for finding in found} == {"absent", "uncertain"}


@pytest.mark.parametrize("index", [0, SHAPE[AXIS] - 1])
def test_on_the_first_and_the_last_slice_a_part_is_kept(index: int) -> None:
    findings = _findings(_square(index), _geometry())
    assert agreed(findings, _geometry()) == findings


def test_a_part_on_two_slices_that_touch_at_a_corner_is_kept() -> None:
    mask = _square(2) | _square(3, at=11)
    findings = _findings(mask, _geometry())
    assert agreed(findings, _geometry()) == findings


@pytest.mark.parametrize("gap_px, kept", [(1, True), (2, True), (4, False)])
def test_an_oblique_lesion_may_step_aside_by_as_much_as_slices_lie_apart(gap_px: int, kept: bool) -> None:
    mask = _square(2) | _square(3, at=5 + 6 + gap_px) | _square(4, at=5 + 2 * (6 + gap_px))
    assert np.array_equal(_kept(mask, _geometry()), mask if kept else np.zeros_like(mask))


@given(
    diameter_mm=st.floats(3.0, 24.0),
    apart_mm=st.floats(1.0, 8.0),
    offset=st.floats(0.0, 1.0),
    pixel_mm=st.floats(0.6, 1.2),
)
def test_no_ball_is_lost_wherever_the_slices_cut_it(
    diameter_mm: float, apart_mm: float, offset: float, pixel_mm: float
) -> None:
    geometry = _geometry(apart_mm, pixel_mm)
    i, j, k = np.meshgrid(*(np.arange(side) for side in SHAPE), indexing="ij")
    away_mm = np.sqrt(
        ((i - 20) * pixel_mm) ** 2 + ((j - 16) * pixel_mm) ** 2 + ((k - 3 - offset) * apart_mm) ** 2
    )
    ball = away_mm <= diameter_mm / 2
    assert np.array_equal(_kept(ball, geometry), ball)


@pytest.mark.parametrize("apart_mm", [1.0, 2.0, 3.0, 3.5, 5.0, 8.0])
def test_a_part_narrower_than_two_steps_may_lie_on_one_slice(apart_mm: float) -> None:
    diameter_mm, pixel_mm = 2 * math.sqrt(36 / math.pi), 1.0
    kept = _kept(_square(3), _geometry(apart_mm, pixel_mm)).any()
    assert kept == (diameter_mm <= 2 * apart_mm + pixel_mm)


@pytest.mark.parametrize(
    "outcome, kept",
    [("absent", False), ("mismatch", True), ("uncertain", True), ("error", True), ("unsupported", True)],
)
def test_only_a_neighbour_that_says_whether_a_lesion_is_there_denies_one(
    outcome: Outcome, kept: bool
) -> None:
    found = agreed(_findings(_square(3), _geometry(), {4: outcome}), _geometry())
    assert found[3].mask.any() == kept


def test_beside_a_slice_that_was_not_asked_a_part_is_kept() -> None:
    asked = _findings(_square(3), _geometry())[3:]
    assert agreed(asked, _geometry()) == asked


def test_what_stands_alone_goes_from_a_slice_whose_other_lesion_stays_and_is_told() -> None:
    mask = _square(3) | _square(4) | _square(3, at=20)
    found = agreed(_findings(mask, _geometry()), _geometry())
    assert found[3].outcome == "present"
    assert found[3].reason == PARTLY_ALONE and not found[4].reason
    assert np.array_equal(stacked(found, _geometry()), _square(3) | _square(4))


def test_a_volume_of_one_slice_has_no_neighbours() -> None:
    geometry = VolumeGeometry((40, 32, 1), np.diag([-1.0, 1.0, 2.0, 1.0]))
    alone = _findings(_square(0)[..., :1], geometry)
    assert agreed(alone, geometry) == alone

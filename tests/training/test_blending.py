"""What was learned from a few corrections is joined with what was known before, by a straight line between weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.blending import blended, share_taken

PARENT = {"a": torch.tensor([0.0, 2.0]), "b": torch.tensor([[1.0]])}
LEARNED = {"a": torch.tensor([1.0, 4.0], dtype=torch.float16), "b": torch.tensor([[3.0]])}


@given(st.floats(0.05, 1.0))
def test_every_weight_goes_the_same_share_of_its_way(share: float) -> None:
    weights = blended(PARENT, LEARNED, share=share)
    assert weights["a"].tolist() == pytest.approx([share, 2 + 2 * share], abs=5e-3)
    assert weights["b"].item() == pytest.approx(1 + 2 * share)
    assert weights["a"].dtype == torch.float16


def test_all_the_way_is_what_was_learned_bit_for_bit() -> None:
    weights = blended(PARENT, LEARNED, share=1.0)
    assert all(torch.equal(weights[name], LEARNED[name]) for name in LEARNED)


@pytest.mark.parametrize(
    "parent", [{}, {"a": torch.zeros(2)}, {"a": torch.zeros(3), "b": torch.zeros(1, 1)}], ids=str
)
def test_weights_that_no_line_joins_are_kept_as_they_were_learned(parent: dict[str, torch.Tensor]) -> None:
    weights = blended(parent, LEARNED, share=0.5)
    assert all(torch.equal(weights[name], LEARNED[name]) for name in LEARNED)
    assert share_taken(parent, LEARNED, share=0.5) == 1


def test_how_far_a_version_went_can_be_told() -> None:
    assert share_taken(PARENT, LEARNED, share=0.5) == 0.5

"""Cancelling stops the work within two steps of the language model, or one encode."""

from __future__ import annotations

import pytest
from discs import ball_volume
from spelled import PRESENT, Heard, Speaker

from coreseg_core.errors import Cancelled
from coreseg_core.record import Query, Scope


@pytest.mark.parametrize("after_tokens", [1, 4])
def test_after_a_wish_to_stop_the_model_takes_at_most_two_more_steps(
    says: Speaker, encoder: Heard, after_tokens: int
) -> None:
    volume, _ = ball_volume()
    segmenter = says(PRESENT)
    tokens, steps_late, encodes_before = 0, 0, 0

    def hear(index: int, text: str) -> None:
        nonlocal tokens, encodes_before
        tokens += 1
        encodes_before = encoder.slices

    def step(*_: object) -> None:
        nonlocal steps_late
        steps_late += stopping()

    def stopping() -> bool:
        return tokens >= after_tokens

    hook = segmenter.answering.model.language.text.layers[0].register_forward_pre_hook(step)
    with pytest.raises(Cancelled):
        segmenter.answer(
            volume,
            Query("liver tumor", "none"),
            Scope(2, 0, 12),
            image_id="x",
            on_token=hear,
            should_stop=stopping,
        )
    hook.remove()
    assert steps_late <= 2
    assert encoder.slices == encodes_before

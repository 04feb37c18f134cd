"""Segmenters that say what a test needs, and an ear at the encoder that counts for itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from spelled import Heard, Speaker, segmenter_that_says

from coreseg_core.inference.segment import SliceSegmenter
from coreseg_core.models.coreseg import CoreSegModel


@pytest.fixture
def says(model: CoreSegModel, tokenizer_file: Path) -> Speaker:
    """Return a maker of segmenters with a fixed reply, all with the real LiteMedSAM."""

    def make(reply: str, *, check_words: bool = False) -> SliceSegmenter:
        return segmenter_that_says(
            reply, parts=model.segmenter, tokenizer=tokenizer_file, check_words=check_words
        )

    return make


@pytest.fixture
def encoder(model: CoreSegModel) -> Iterator[Heard]:
    heard = Heard()

    def count(_: object, inputs: tuple) -> None:
        heard.slices += len(inputs[0])

    hook = model.segmenter.image_encoder.register_forward_pre_hook(count)
    yield heard
    hook.remove()

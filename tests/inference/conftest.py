"""Segmenters that say what a test needs, and an ear at the encoder that counts for itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_lite import small_lite
from spelled import Heard, Speaker, segmenter_that_says

from coreseg_core.inference.segment import SliceSegmenter
from coreseg_core.models.build import best_encoder_dtype, build_segmenter
from coreseg_core.models.segmenter import SamSegmenter


@pytest.fixture(scope="session")
def segmenter() -> SamSegmenter:
    """The real LiteMedSAM, its encoder in the dtype that serves on this machine."""
    return build_segmenter(small_lite(), encoder_dtype=best_encoder_dtype()).eval()


@pytest.fixture
def says(segmenter: SamSegmenter, tokenizer_file: Path) -> Speaker:
    """Return a maker of segmenters with a fixed reply, all with one LiteMedSAM."""

    def make(reply: str, *, check_words: bool = False) -> SliceSegmenter:
        return segmenter_that_says(reply, parts=segmenter, tokenizer=tokenizer_file, check_words=check_words)

    return make


@pytest.fixture
def encoder(segmenter: SamSegmenter) -> Iterator[Heard]:
    heard = Heard()

    def count(_: object, inputs: tuple) -> None:
        heard.slices += len(inputs[0])

    hook = segmenter.image_encoder.register_forward_pre_hook(count)
    yield heard
    hook.remove()

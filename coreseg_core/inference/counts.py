"""Counts of the expensive operations; tests promise counts, never seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class OperationCounts:
    """How often each expensive operation ran.

    Attributes:
        encodes: Slices put through the segmenter's encoder.
        picture_prefills: Slices put through the language model as system and picture.
        question_prefills: Questions laid behind a prefix, one a batch of slices.
        second_looks: Questions laid behind a prefix once more, for the chances of a bare answer; likewise.
        mask_decodes: Masks decoded.
    """

    encodes: int = 0
    picture_prefills: int = 0
    question_prefills: int = 0
    second_looks: int = 0
    mask_decodes: int = 0

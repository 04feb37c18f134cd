"""A reader's marks are outlined whatever the model says, and slices that do not fit together are asked alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from discs import ball_volume, boxed_query
from spelled import ABSENT, PRESENT, Speaker

from coreseg_core.errors import ModelError
from coreseg_core.inference.segment import SliceSegmenter
from coreseg_core.record import Query, Scope

MIDDLE = Scope(2, 4, 5)
ASKED = Query("liver tumor", "none")


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def test_a_box_where_the_model_sees_nothing_is_outlined_and_the_words_stay(says: Speaker) -> None:
    volume, ball = ball_volume()
    segmenter = says(ABSENT)
    record, labels = segmenter.answer(volume, boxed_query(volume, ball, MIDDLE), MIDDLE, image_id="x")
    (finding,) = record.slices
    assert finding.outcome == "present"
    assert finding.answer_text == "No liver tumor is seen."
    assert "marks alone" in finding.reason
    assert overlap(labels[:, :, 4] > 0, ball[:, :, 4]) > 0.8
    (plain,) = segmenter.segment(volume, ASKED, MIDDLE)
    assert plain.outcome == "absent" and not plain.mask.any()


def test_an_answer_whose_mask_follows_a_box_and_not_its_words_says_so(says: Speaker) -> None:
    volume, ball = ball_volume()
    (finding,) = says(PRESENT).segment(volume, boxed_query(volume, ball, MIDDLE), MIDDLE)
    assert finding.reason == "The mask follows the reader's box, not the model's words."


OF_A_GPU = torch.OutOfMemoryError("CUDA out of memory.")
FAULTS = [
    OF_A_GPU,
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


@contextmanager
def memory_for(slices: int, segmenter: SliceSegmenter, fault: Exception = OF_A_GPU) -> Iterator[list[int]]:
    """Let the language model run out of memory above a number of slices, as a device does; yield what it was given."""
    given: list[int] = []

    def allocate(_: object, args: tuple, values: dict[str, Any]) -> None:
        given.append(len(values["inputs_embeds"]))
        if given[-1] > slices:
            raise fault

    hook = segmenter.answering.model.language.text.register_forward_pre_hook(allocate, with_kwargs=True)
    yield given
    hook.remove()


@pytest.mark.parametrize("fault", FAULTS, ids=["GPU", "CPU", "cuBLAS"])
def test_slices_that_do_not_fit_together_are_answered_alone_and_alike(
    says: Speaker, fault: Exception
) -> None:
    volume, ball = ball_volume()
    segmenter, scope = says(PRESENT), Scope(2, 3, 6)
    asked = boxed_query(volume, ball, scope)
    expected = list(segmenter.segment(volume, asked, scope))
    with memory_for(1, segmenter, fault) as given:
        found = list(segmenter.segment(volume, asked, scope))
    assert max(given) > 1 and given[-1] == 1
    assert [finding.index for finding in found] == [3, 4, 5]
    for one, other in zip(expected, found, strict=True):
        assert one.outcome == other.outcome
        assert overlap(one.mask, other.mask) >= 0.999


def test_a_slice_that_does_not_fit_alone_is_an_error_with_a_remedy_and_the_next_question_goes(
    says: Speaker,
) -> None:
    volume, _ = ball_volume()
    segmenter = says(PRESENT)
    with memory_for(0, segmenter), pytest.raises(ModelError) as refused:
        list(segmenter.segment(volume, ASKED, Scope(2, 3, 6)))
    assert refused.value.http_status == 503 and refused.value.remedy
    assert all(cache.nbytes == 0 for cache in segmenter.answering.caches.values())
    assert len(list(segmenter.segment(volume, ASKED, MIDDLE))) == 1


def test_another_fault_is_not_taken_for_want_of_memory(says: Speaker) -> None:
    volume, _ = ball_volume()
    segmenter = says(PRESENT)
    fault = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with memory_for(0, segmenter, fault), pytest.raises(RuntimeError, match="shapes"):
        list(segmenter.segment(volume, ASKED, Scope(2, 3, 6)))

"""Weights that do not fit into the device's memory: what lay there goes first, then the reason is told, and no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from coreseg_core.errors import ModelError
from coreseg_core.inference import SliceSegmenter
from lib.model import ServedModel

Failing = Callable[[int], None]


@pytest.fixture
def served(tmp_path: Path) -> ServedModel:
    return ServedModel(
        preset="lite", weights=None, versions_dir=tmp_path / "versions", device="cpu", cache_bytes=1024
    )


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    """Return what lets the device be full for the next so many times that weights are laid there."""
    left = [0]
    build = SliceSegmenter.from_preset

    def full(*args: Any, **options: Any) -> SliceSegmenter:
        left[0] -= 1
        if left[0] >= 0:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return build(*args, **options)

    monkeypatch.setattr(SliceSegmenter, "from_preset", full)

    def fail(times: int) -> None:
        left[0] = times

    return fail


def test_weights_that_do_not_fit_are_a_503_and_fit_when_there_is_room_again(
    served: ServedModel, failing: Failing
) -> None:
    failing(2)
    with pytest.raises(ModelError, match="too small for the model") as refused:
        served.segmenter()
    assert refused.value.http_status == 503 and refused.value.remedy
    assert not served.loaded
    failing(1)
    assert served.segmenter() is not None and served.loaded

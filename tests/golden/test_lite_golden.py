"""The weights that ship answer the demo studies as they did when they were published.

`python tests/golden/test_lite_golden.py` writes the golden answers anew; do that with new weights, and look at them.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coreseg_core.answer import parse
from coreseg_core.imaging import extract_slice, read_label, read_volume
from coreseg_core.inference import SliceSegmenter
from coreseg_core.phantoms.demo import write_demo
from coreseg_core.record import Query, Scope, SliceFinding

GOLDEN = Path(__file__).parents[1] / "data" / "golden_lite.json"
MASKS = GOLDEN.with_suffix(".npz")
NAMES = ("demo_ct_liver", "demo_mr_brain", "demo_us_breast", "demo_mr_brain_clear")
MIN_DICE_WITH_TRUTH = 0.6
MIN_DICE = 0.95
"""Other processors round otherwise; a changed answer differs by far more."""


@dataclass(frozen=True)
class Answered:
    """What was found on the asked slice of a demo study, and what is there."""

    finding: SliceFinding
    truth: NDArray[np.bool_]
    expected: str


def answers(folder: Path) -> dict[str, Answered]:
    """Return the answers to the demo studies' own questions, by image name."""
    segmenter = SliceSegmenter.from_preset("lite")
    studies = json.loads(write_demo(folder).read_text(encoding="utf-8"))["studies"]
    return {study["image"].removesuffix(".nii.gz"): answer(folder, study, segmenter) for study in studies}


def answer(folder: Path, study: dict[str, Any], segmenter: SliceSegmenter) -> Answered:
    volume = read_volume(folder / study["image"])
    index, axis = study["slice"]["index"], volume.geometry.array_axis(study["slice"]["axis"])
    labels = read_label(folder / study["truth"], volume.geometry)
    truth = extract_slice(volume, axis, index).voxels_to_mask(np.take(labels, index, axis=axis) > 0)
    scope = Scope(axis=axis, start=index, stop=index + 1)
    finding = next(iter(segmenter.segment(volume, Query(text=study["query"]), scope)))
    return Answered(finding=finding, truth=truth, expected=study["expected"])


def words_of(finding: SliceFinding) -> dict[str, Any]:
    return {
        "outcome": finding.outcome,
        "class_name": parse(finding.answer_text).class_name,
        "reasoning": finding.reasoning,
        "shape": list(finding.mask.shape),
    }


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answered]:
    return answers(tmp_path_factory.mktemp("demo"))


@pytest.mark.parametrize("name", NAMES)
def test_a_demo_study_is_answered_rightly(name: str, answered: dict[str, Answered]) -> None:
    found = answered[name]
    assert found.finding.outcome == found.expected
    assert dice(found.finding.mask, found.truth & (found.expected == "present")) >= MIN_DICE_WITH_TRUTH


@pytest.mark.parametrize("name", NAMES)
def test_a_demo_study_is_answered_as_when_the_weights_were_published(
    name: str, answered: dict[str, Answered]
) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))[name]
    now = words_of(answered[name].finding)
    assert (now["outcome"], now["class_name"]) == (golden["outcome"], golden["class_name"])
    assert dice(answered[name].finding.mask, golden_mask(name, golden)) >= MIN_DICE


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_that_ship_say_how_sure_they_are_in_a_confidence_that_was_held_against_the_truth(
    name: str, answered: dict[str, Answered]
) -> None:
    finding = answered[name].finding
    assert finding.confidence_kind.startswith("calibrated chance of being right")
    assert 0.0 < finding.confidence < 1.0


def golden_mask(name: str, golden: dict[str, Any]) -> NDArray[np.bool_]:
    height, width = golden["shape"]
    with np.load(MASKS, allow_pickle=False) as packed:
        return np.unpackbits(packed[name], count=height * width).reshape(height, width).astype(bool)


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return 1.0 if total == 0 else float(2 * np.count_nonzero(first & second) / total)


def write_golden() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = {name: answered.finding for name, answered in answers(Path(folder)).items()}
    words = {name: words_of(finding) for name, finding in found.items()}
    GOLDEN.write_text(json.dumps(words, indent=2) + "\n", encoding="utf-8")
    np.savez_compressed(MASKS, **{name: np.packbits(finding.mask) for name, finding in found.items()})


if __name__ == "__main__":
    write_golden()

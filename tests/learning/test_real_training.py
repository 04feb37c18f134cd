"""The whole way with the real model: `lite` learns a little from phantoms that a reader corrected, and is judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_runs import ENVIRONMENT

from coreseg_core.checkpoint import load_weights
from coreseg_core.evaluation.corrections import CHANGED_WEIGHT
from coreseg_core.evaluation.manifest import load_row, read_manifest, write_manifest
from coreseg_core.inference import SliceSegmenter
from coreseg_core.models.load import packaged_folder
from coreseg_core.record import Query
from coreseg_core.runs import Order, RunFolder
from coreseg_core.versions import SHIPPED
from training.phantom_pictures import write_pictures
from training.tuning import lessons
from training.tuning.course import perform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


def test_lite_learns_from_corrections_and_the_version_that_comes_of_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
    # One view each, where a real run makes eight.
    monkeypatch.setattr(lessons, "VIEWS_OF_CORRECTIONS", 16)
    order = Order(
        recipe="sft",
        preset="lite",
        parent=SHIPPED,
        parent_folder=str(packaged_folder("lite")),
        versions_dir=str(tmp_path / "versions"),
        steps=2,
        minutes=60.0,
        guard_pictures=10,
        device="cpu",
    )
    run = RunFolder.make(tmp_path / "runs", "20260101T000000-sft-0000", order)
    rows = read_manifest(write_pictures(run.corrections.parent, count=16, seed=5))
    asked = [
        replace(
            row, query=f"Is there a {row.target}?", origin="correction", split="train", weight=CHANGED_WEIGHT
        )
        for row in rows
    ]
    write_manifest(run.corrections, asked)
    run.open()
    perform(run)
    state = run.state
    assert (state.state, state.step) == ("done", 2), (state, (run.path / "output.log").read_text()[-2000:])
    folder = tmp_path / "versions" / str(state.version)
    tensors, manifest = load_weights(folder)
    parents, _ = load_weights(packaged_folder("lite"))
    assert any(not (tensors[name] == parents[name]).all() for name in parents)
    assert manifest["scores"]["guard"]["Dice"]["n"] > 0
    assert manifest["recipe"]["replay"] == "phantoms"
    segmenter = SliceSegmenter.from_preset("lite", weights=folder, device="cpu")
    assert segmenter.model_card["version"] == state.version
    rgb, mask = load_row(asked[0])
    (finding,) = segmenter.answer_picture(rgb, [Query(text=str(asked[0].query), reasoning="none")])
    assert finding.mask.shape == mask.shape

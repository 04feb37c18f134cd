"""What a built set says is what is learned from it."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from coreseg_core.answer import parse
from coreseg_core.evaluation.manifest import load_row, read_manifest
from coreseg_core.models.preset import load_preset
from training.dataset.reasoning import ReasonPlan, reason
from training.dataset.writers import OfflineWriter
from training.samples import write_dialogue
from training.views import EmbeddedView, ViewKey


def test_rows_of_a_built_set_are_learned_as_they_are_written(imported: Path) -> None:
    built = imported.with_name("reasoned.jsonl")
    reason(
        imported, built, OfflineWriter(), plan=ReasonPlan(mixed=True), server=None, progress=lambda *_: None
    )
    rows = read_manifest(built)
    assert {row.probe.kind for row in rows if row.probe} >= {"present", "lesion_free"}
    for row in rows:
        rgb, mask = load_row(row)
        view = EmbeddedView(
            key=ViewKey(row.id, 0),
            embedding=np.zeros((1, 1, 1), np.float16),
            grey=rgb.mean(axis=-1).astype(np.uint8),
            mask=mask,
        )
        dialogue = write_dialogue(random.Random(0), row, view, load_preset("lite").frame, mode="full")
        said, written = parse(dialogue.reply), parse(row.answer or "")
        assert dialogue.question == row.query
        assert said.reasoning == row.reasoning
        assert (said.kind, said.class_name, said.modality) == (
            written.kind,
            written.class_name,
            written.modality,
        )
        assert len(said.boxes_xyxy_px) == len(written.boxes_xyxy_px)

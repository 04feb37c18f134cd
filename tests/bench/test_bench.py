"""The bench compares like with like: the plain baseline writes the same tokens and draws the same mask."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from spelled import PRESENT, segmenter_that_says

from benchmarks.baseline import PlainBaseline
from benchmarks.case import Case, liver_case, prepare, reply_to
from benchmarks.lite import bench
from benchmarks.stages import PER_TOKEN, fresh_segmenter
from coreseg_core.models.build import best_encoder_dtype, build_segmenter
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.record import Query


@pytest.fixture(scope="module")
def case() -> Case:
    # Without reasoning no tag is forced after the first, so that both are free to write what they like.
    return replace(liver_case(), first=Query("liver tumor?", "none"), second=Query("the metastasis", "none"))


@pytest.fixture
def speaking(model: CoreSegModel, tokenizer_file: Path) -> CoreSegModel:
    """A model whose reply leads to a mask."""
    return segmenter_that_says(PRESENT, parts=model.segmenter, tokenizer=tokenizer_file).answering.model


def test_the_baseline_writes_the_same_tokens_without_a_mask(model: CoreSegModel, case: Case) -> None:
    reply = reply_to(model, prepare(model, case, case.first), case.first)
    baseline = PlainBaseline(model, encoder_dtype=torch.float32)
    answered = baseline.answer(case.volume, case.first, case.scope, new_tokens=len(reply.ids) - 1)
    assert reply.answer_states is None
    assert len(reply.ids) > 10
    assert answered.ids == reply.ids[1:]
    assert not answered.mask.any()


def test_the_baseline_draws_the_same_mask(speaking: CoreSegModel, case: Case) -> None:
    # An adapter that says something: in the spelled model it is silent.
    torch.nn.init.normal_(speaking.adapter.out[1].weight, std=0.1)
    reply = reply_to(speaking, prepare(speaking, case, case.first), case.first)
    assert reply.answer_states is not None
    (finding,) = fresh_segmenter(speaking).segment(case.volume, case.first, case.scope)
    baseline = PlainBaseline(speaking, encoder_dtype=torch.float32)
    answered = baseline.answer(case.volume, case.first, case.scope, new_tokens=len(reply.ids) - 1)
    assert answered.ids == reply.ids[1:]
    assert answered.text == reply.text
    assert np.count_nonzero(answered.mask != finding.mask) <= 0.001 * finding.mask.size


def test_one_run_measures_every_stage_and_both_questions(
    speaking: CoreSegModel, case: Case, tmp_path: Path
) -> None:
    speaking.segmenter = build_segmenter(speaking.preset, encoder_dtype=best_encoder_dtype()).eval()
    report = bench(speaking, case, device=torch.device("cpu"), repeats=1, card={"preset": "lite"})
    report.write(tmp_path / "bench.json")
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["schema"] == "coreseg.bench/1"
    stages = {row["stage"].partition(" (")[0]: row for row in written["stages"]}
    parts = ["encode", "visual tokens + picture prefill", "question prefill", PER_TOKEN, "mask decode"]
    assert list(stages) == [*parts, "whole slice", "encode, as packaged"]
    for row in stages.values():
        assert row["floor_ms"] > 0
        assert row["ratio"] == pytest.approx(row["floor_ms"] / row["best_ms"])
        assert row["best_ms"] <= row["median_ms"]
    assert stages["whole slice"]["floor_ms"] >= sum(
        stages[name]["floor_ms"] for name in parts if name != PER_TOKEN
    )
    assert stages["encode"]["gflop"] == pytest.approx(stages["encode, as packaged"]["gflop"], rel=0.02)
    first, second = written["comparisons"]
    assert (first["question"], first["encodes"]) == ("first", 1)
    assert (second["question"], second["encodes"]) == ("second", 0)
    assert first["same_tokens"] and second["same_tokens"]
    console = Console(record=True, width=140, quiet=True)
    report.show(console)

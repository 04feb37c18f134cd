"""What a step asks is shared by processes, and what cannot be shared or learned is refused before it starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import toy

from coreseg_core.errors import InputError
from training.grpo import questions_of_step
from training.loop import LoopConfig

PACE = LoopConfig(
    steps=4, together=2, warmup_steps=1, log_every=1, evaluate_every=4, save_every=2, mixed_precision="no"
)


def test_questions_of_a_step_are_shared_by_processes_and_asked_once_for_steps_that_go_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = toy.config(Path("unused"), questions=4, loop=PACE)
    source = toy.source(config)
    alone = [question.seed for question in questions_of_step(source, config, step=2, process=0)]
    assert alone == [question.seed for question in questions_of_step(source, config, step=3, process=0)]
    assert alone != [question.seed for question in questions_of_step(source, config, step=0, process=0)]
    monkeypatch.setattr("training.grpo.process_count", lambda: 2)
    both = [
        question.seed
        for process in (0, 1)
        for question in questions_of_step(source, config, step=2, process=process)
    ]
    assert both == alone
    monkeypatch.setattr("training.grpo.process_count", lambda: 3)
    with pytest.raises(InputError, match="4 questions a step cannot be shared by 3"):
        questions_of_step(source, config, step=0, process=0)


def test_what_cannot_work_is_refused_before_it_starts() -> None:
    with pytest.raises(InputError, match="cannot differ in worth"):
        toy.config(Path("unused"), answers=1)
    with pytest.raises(InputError, match="learn together"):
        toy.config(Path("unused"), loop=replace(PACE, save_every=3))

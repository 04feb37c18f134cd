"""The counted cost of a GRPO step is what torch counts of the real code, and sharing saves what is claimed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from tiny_core_seg import TOKENIZER, tiny_core_seg
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import grpo_time
from benchmarks.grpo_cost import StepShape, head_flops, step_cost, text_flops, vision_flops
from benchmarks.grpo_time import PER_ANSWER, SHARED, count_operations, measure, random_model, table
from coreseg_core.models.build import build_coreseg
from coreseg_core.models.completions import Prompt, completion_states
from coreseg_core.models.mllm import sequence_positions
from coreseg_core.models.preset import load_preset


def test_layers_vocabulary_and_tower_count_what_torch_counts() -> None:
    # Low-rank updates are no small part of a model of this size, as they are of a large one: without them.
    tiny = tiny_core_seg()
    preset = replace(tiny, language=replace(tiny.language, lora=None))
    torch.manual_seed(0)
    language = build_coreseg(preset, tokenizer=TOKENIZER).language.eval()
    language.text.set_attn_implementation("eager")
    config, answers, length = preset.language.config, 3, 9
    frames = torch.rand(1, 3, 112, 112)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        picture = language.visual(frames, frames)
    assert counter.get_total_flops() == pytest.approx(
        vision_flops(preset.language.vision or {}, patches=64), rel=0.01
    )
    head = language.tokenizer.prefix_ids(16) + language.tokenizer.question_ids("Where is the polyp?", "none")
    prompt = Prompt(
        ids=torch.tensor([head]),
        positions=sequence_positions(head, language.tokenizer.image_id, (4, 4))[:, None],
    )
    ids = torch.full((answers, length), 7)
    for shared in (True, False):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            completion_states(language, prompt, ids, picture, shared=shared)
        counted = counter.get_total_flops()
        if shared:
            expected = text_flops(config, tokens=len(head))
            expected += text_flops(config, tokens=length - 1, before=len(head), rows=answers)
        else:
            expected = text_flops(config, tokens=len(head) + length - 1, rows=answers)
        assert counted == pytest.approx(expected, rel=0.01)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        language.head(torch.zeros(5, language.dim))
    assert counter.get_total_flops() == head_flops(config, tokens=5)


def test_sharing_picture_and_question_saves_at_least_three_fifths_on_the_3b_model() -> None:
    preset = load_preset("core-seg-3b")
    per_answer = step_cost(preset, StepShape(), shared=False)
    shared = step_cost(preset, StepShape(), shared=True)
    assert per_answer.total / shared.total > 2.5
    # Alone, an answer shares with nobody but its own four passes.
    alone = StepShape(answers=1)
    assert step_cost(preset, alone, shared=False).training == step_cost(preset, alone, shared=True).training


def test_every_way_of_a_group_is_timed_and_sharing_does_less() -> None:
    model = random_model()
    times = measure(model, answers=4, tokens=6, repeats=1)
    assert set(times) == {SHARED, PER_ANSWER, grpo_time.CONFIGURED}
    counted = count_operations(model, answers=4, tokens=6)
    assert counted[SHARED] < counted[PER_ANSWER]
    printed = table(counted, times)
    assert f"(1 / {counted[PER_ANSWER] / counted[SHARED]:.2f})" in printed


def test_as_many_masks_are_learned_as_the_recipe_of_lite_says() -> None:
    recipe = yaml.safe_load(
        (Path(grpo_time.__file__).parents[1] / "training/configs/grpo_lite.yaml").read_text()
    )
    assert recipe["learned_masks"] == grpo_time.LEARNED_MASKS
    counted = count_operations(random_model(), answers=4, tokens=6)
    assert counted[grpo_time.CONFIGURED] < counted[SHARED]


def test_operations_of_a_group_are_counted_wherever_they_are_done() -> None:
    """Twice the answers are twice the work of going answer by answer: roll-outs, passes and masks are all counted."""
    model = random_model()
    one, two = (count_operations(model, answers=answers, tokens=6) for answers in (1, 2))
    assert two[PER_ANSWER] == 2 * one[PER_ANSWER]
    assert one[SHARED] < two[SHARED] < 2 * one[SHARED]

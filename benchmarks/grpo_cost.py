"""What a GRPO step costs, counted: a group that shares picture and question against one that reads them per answer.

    python -m benchmarks.grpo_cost

Counted are matrix products and attention, a multiply-add as two operations. `per answer` is how general trainers go
about it: every answer of a group encodes the picture and reads the prompt anew, in roll-outs, in the pass that finds
the state of `<seg>` for the reward, under the reference, and in the pass with gradients. `shared` is this project's
way: picture and prompt are read once a group in each of these, and the states of `<seg>` are kept from the roll-outs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coreseg_core.cli.exits import exit_code
from coreseg_core.models.preset import Preset, load_preset

FRAME_PX = 448
PATCH_PX = 14
MERGED = 4
"""Patches of the vision tower that become one token of the language model."""


@dataclass(frozen=True, kw_only=True)
class StepShape:
    """Sizes of a step.

    Attributes:
        groups: Questions.
        answers: Answers to each.
        text_tokens: Of the prompt, beside the picture.
        answer_tokens: Of an answer.
    """

    groups: int = 8
    answers: int = 8
    text_tokens: int = 100
    answer_tokens: int = 150


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Operations of a step, by what they are for."""

    picture: float
    roll_outs: float
    reward: float
    reference: float
    training: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.picture + self.roll_outs + self.reward + self.reference + self.training


def text_flops(config: Mapping[str, Any], *, tokens: int, before: int = 0, rows: int = 1) -> float:
    """Return operations of the language model's layers on rows of `tokens` behind `before` cached ones.

    Attention is counted in full, as a program without a causal kernel does it.
    """
    dim, inner, layers = (config[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    heads, shared = config["num_attention_heads"], config["num_key_value_heads"]
    width = dim // heads
    linear = dim * width * (2 * heads + 2 * shared) + 3 * dim * inner
    attention = 2 * (before + tokens) * heads * width
    return 2.0 * layers * rows * tokens * (linear + attention)


def head_flops(config: Mapping[str, Any], *, tokens: int) -> float:
    """Return operations of the projection to the vocabulary."""
    return 2.0 * tokens * config["hidden_size"] * config["vocab_size"]


def vision_flops(vision: Mapping[str, Any], *, patches: int) -> float:
    """Return operations of Qwen2.5-VL's vision tower on one picture, most of its layers attending within windows."""
    dim, inner, depth = (vision[name] for name in ("hidden_size", "intermediate_size", "depth"))
    full = len(vision["fullatt_block_indexes"])
    window = (vision["window_size"] // PATCH_PX) ** 2
    linear = 4 * dim * dim + 3 * dim * inner
    attention = 2 * dim * (full * patches + (depth - full) * min(window, patches))
    merged = MERGED * dim
    merger = (merged * merged + merged * vision["out_hidden_size"]) / MERGED
    embedding = 3 * 2 * PATCH_PX**2 * dim
    return 2.0 * patches * (embedding + depth * linear + attention + merger)


def step_cost(preset: Preset, shape: StepShape, *, shared: bool) -> Cost:
    """Return what a step costs on a preset with low-rank updates on a frozen language model."""
    config, vision = preset.language.config, preset.language.vision or {}
    patches = (FRAME_PX // PATCH_PX) ** 2
    prompt = patches // MERGED + shape.text_tokens
    readers = 1 if shared else shape.answers
    # A forward pass over prompt and answers, with the vocabulary for what was written.
    answers = text_flops(config, tokens=shape.answer_tokens, before=prompt, rows=shape.answers)
    answers += head_flops(config, tokens=shape.answers * shape.answer_tokens)
    prompts = text_flops(config, tokens=prompt, rows=readers)
    forward = prompts + answers
    # Roll-outs write one token after the other, each behind half of the others on average.
    written = text_flops(config, tokens=1, before=prompt + shape.answer_tokens // 2, rows=shape.answers)
    roll_outs = prompts + shape.answer_tokens * written
    roll_outs += head_flops(config, tokens=shape.answers * shape.answer_tokens)
    picture = vision_flops(vision, patches=patches) if vision else 0.0
    # Per answer, the picture is encoded for roll-outs, reward, reference and the pass with gradients.
    encoded = 1 if shared else 4 * shape.answers
    parts = {
        "picture": picture * encoded,
        "roll_outs": roll_outs,
        "reward": 0.0 if shared else forward,
        "reference": forward,
        # The backward pass of a frozen trunk finds gradients of activations alone: as much again as the forward pass.
        "training": 2 * forward,
    }
    return Cost(**{name: value * shape.groups for name, value in parts.items()})


def table(preset: Preset, shape: StepShape) -> str:
    """Return both ways as Markdown, in TFLOP."""
    costs = {
        "per answer": step_cost(preset, shape, shared=False),
        "shared": step_cost(preset, shape, shared=True),
    }
    names = ("picture", "roll_outs", "reward", "reference", "training", "total")
    lines = ["| TFLOP a step | per answer | shared | ratio |", "|---|---:|---:|---:|"]
    for name in names:
        per_answer, shared = (getattr(cost, name) / 1e12 for cost in costs.values())
        ratio = f"{per_answer / shared:.1f}" if shared else "-"
        lines.append(f"| {name.replace('_', '-')} | {per_answer:.1f} | {shared:.1f} | {ratio} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table of the preset that stands on Qwen2.5-VL-3B."""
    shape = StepShape()
    print(
        f"core-seg-3b, {FRAME_PX} px, {shape.groups} questions of {shape.answers} answers of {shape.answer_tokens} "
        f"tokens, KL on:\n\n{table(load_preset('core-seg-3b'), shape)}"
    )


if __name__ == "__main__":
    sys.exit(exit_code(main)())

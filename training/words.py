"""Stage 0: words before pictures.

Which question fits which picture is first learned on described pictures alone (`training.described`): without a
picture and a mask decoder a step costs a tenth. What is learned here is where `training.sft` goes on from.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from coreseg_core.evaluation.rows import Row
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.visual_tokens import SegmenterTokens
from training.described import Described, DescribedBatch, described_batch, described_losses
from training.loop import LoopConfig, TrainingLoop, decaying_groups
from training.losses import token_loss
from training.wording import KindMix

WORD_MODE_WEIGHTS = (0.1, 0.35, 0.55)
"""Shares of full, brief and no reasoning: the outcome is what is learned here, and short replies cost less."""


@dataclass(frozen=True, kw_only=True)
class WordsConfig:
    """Length of the stage.

    Attributes:
        batch_size: Dialogues a step and process.
        learning_rate: Of the language model.
        loop: Length and pace.
    """

    batch_size: int
    learning_rate: float
    loop: LoopConfig


class _WordLearner(nn.Module):
    def __init__(self, model: CoreSegModel) -> None:
        super().__init__()
        # The text layers, the vocabulary and how a reach is told; what turns pictures into tokens has no part in this
        # stage, so the whole model is kept out of sight of the optimizer.
        self.text, self.head, self.seg = model.language.text, model.language.head, model.language.seg
        if isinstance(model.language.visual, SegmenterTokens):
            self.extent = model.language.visual.extent
        self._whole = (model,)

    def forward(self, batch: DescribedBatch) -> Tensor:
        return described_losses(self._whole[0], batch)


def learn_words(
    model: CoreSegModel,
    rows: Sequence[Row],
    config: WordsConfig,
    *,
    mix: KindMix,
    seed: int,
    folder: Path,
    until_s: float | None = None,
) -> bool:
    """Train the language model in place on described pictures and leave it with its averaged weights.

    Returns:
        Whether the stage is finished; `until_s` seconds can end before it does.
    """
    learner = _WordLearner(model)
    groups = decaying_groups(learner.parameters(), lr=config.learning_rate)
    loop = TrainingLoop(learner, groups, config=config.loop, folder=folder)
    how = Described.to(model)

    def batch(step: int, process: int) -> DescribedBatch:
        rng = random.Random(f"words/{seed}/{step}/{process}")
        return described_batch(rng, rows, config.batch_size, how, mix=mix, mode_weights=WORD_MODE_WEIGHTS)

    def losses(module: nn.Module, words: DescribedBatch) -> Mapping[str, Tensor]:
        values = module(words)
        return {"total": token_loss(values, torch.ones(len(values), device=values.device))}

    loop.run(batch, losses, lambda: {}, until_s=until_s)
    loop.adopt_average()
    return loop.step >= config.loop.steps

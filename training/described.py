"""Described pictures: dialogues in which words stand where the picture would.

Whether a question fits a picture is a relation between words, and there are far more ways to ask than there are
pictures. A description ("ultrasound of breast, breast tumor, dark, smooth margins") in the picture's place teaches it
at a tenth of the cost of a picture; what a picture shows is learned from pictures all the same.

Where the visual tokens tell the reach of a lesion (`SegmenterTokens`), a few of them follow the description, with noise
for content and the reach of a drawn lesion laid in: so side, size and boxes are learned from what pictures will tell
too. Elsewhere place, size and number are described in words, and boxes left out.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from coreseg_core.claims import CONTRAST, NUMBER, OUTLINE, PLACE, SIZE, Facts
from coreseg_core.evaluation.rows import Row
from coreseg_core.models.chat import ChatTokenizer
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.preset import FrameSpec
from coreseg_core.models.visual_tokens import SegmenterTokens
from coreseg_core.record import REASONING_MODES, ReasoningMode
from training.drawn import DRAWINGS, Drawing, drawing
from training.wording import KindMix, choose_kind, class_of, subject_of, target_text, write_question

_BEFORE_BOXES = " located at"
_BLANKS = 4
"""Visual tokens behind a description."""
_CONTENT_STD = 2.0
"""Of the noise in them: about what a trained `lite` shows in its tokens."""
_FAINT, _STRAY = 0.25, 0.08
"""A learned saliency is not the truth: the reach of a drawn lesion is weakened and blurred by up to so much."""


@dataclass(frozen=True, kw_only=True)
class DescribedBatch:
    """Dialogues without pictures, padded on the right.

    Attributes:
        ids: (n, L) token ids.
        real: (n, L) bool, False on padding.
        target: (n, L) bool, True on the tokens the model has to write.
        content: (n, k, d) noise, what the visual tokens behind each description show; None without such tokens.
        reach: (n, 2 * grid) reach of the lesions in them, or None.
    """

    ids: Tensor
    real: Tensor
    target: Tensor
    content: Tensor | None
    reach: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Described:
    """How pictures are described to a model.

    Attributes:
        tokenizer: The model's.
        frame: Where its boxes are counted.
        dim: Width of its tokens.
        grid: Rows of visual tokens whose reach is told, or None for words alone.
    """

    tokenizer: ChatTokenizer
    frame: FrameSpec
    dim: int
    grid: int | None

    @classmethod
    def to(cls, model: CoreSegModel) -> Described:
        """Return how pictures are described to this model."""
        visual = model.language.visual
        return cls(
            tokenizer=model.language.tokenizer,
            frame=model.preset.frame,
            dim=model.language.dim,
            grid=visual.grid if isinstance(visual, SegmenterTokens) else None,
        )


def describe(row: Row, facts: Facts, *, with_place: bool) -> str:
    """Return what a picture shows, in the words of the reasoning; place, size and number on demand."""
    subject = subject_of(row)
    picture = f"{subject.modality} of {subject.anatomy}"
    if row.lesion_free:
        return f"{picture}, nothing focal"
    words = [CONTRAST[facts.contrast][-1]] if facts.contrast else []
    words += [OUTLINE[facts.outline][0]] if facts.outline else []
    if with_place:
        words += [NUMBER[facts.number][0], SIZE[facts.size][0], PLACE[facts.place][0]]
    return ", ".join([picture, class_of(row), *words])


def described_batch(
    rng: random.Random,
    rows: Sequence[Row],
    n: int,
    how: Described,
    *,
    mix: KindMix,
    mode_weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> DescribedBatch:
    """Return `n` dialogues about descriptions of random rows.

    Every subset is drawn as often as any other: words about a rare one are no rarer than words about a common one.
    A batch has one reasoning mode, so that its lengths are alike and little is padded; `mode_weights` are the
    chances of full, brief and none.
    """
    mode = rng.choices(REASONING_MODES, weights=mode_weights)[0]
    subsets: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        subsets[row.subset].append(row)
    groups = [subsets[name] for name in sorted(subsets)]
    chosen = [rng.choice(rng.choice(groups)) for _ in range(n)]
    drawn = [drawing(rng.randrange(DRAWINGS), how.frame, how.grid or 1) for _ in range(n)]
    written = [_dialogue(rng, row, lesion, how, mix, mode) for row, lesion in zip(chosen, drawn, strict=True)]
    length = max(len(head) + len(reply) for head, reply in written)
    shown = [
        np.zeros_like(lesion.reach) if row.lesion_free else lesion.reach
        for row, lesion in zip(chosen, drawn, strict=True)
    ]

    noise = torch.Generator().manual_seed(rng.getrandbits(48))

    def padded(values: list[int], fill: int) -> list[int]:
        return values + [fill] * (length - len(values))

    return DescribedBatch(
        ids=torch.tensor([padded(head + reply, how.tokenizer.pad_id) for head, reply in written]),
        real=torch.tensor([padded([1] * len(head + reply), 0) for head, reply in written]).bool(),
        target=torch.tensor(
            [padded([0] * len(head) + [1] * len(reply), 0) for head, reply in written]
        ).bool(),
        content=None
        if how.grid is None
        else _CONTENT_STD * torch.randn(n, _BLANKS, how.dim, generator=noise),
        reach=None if how.grid is None else _as_seen(torch.from_numpy(np.stack(shown)), noise),
    )


def _as_seen(reach: Tensor, noise: torch.Generator) -> Tensor:
    strength = 1 - _FAINT * torch.rand(len(reach), 1, generator=noise)
    return torch.maximum(reach * strength, _STRAY * torch.rand(reach.shape, generator=noise))


def described_losses(model: CoreSegModel, batch: DescribedBatch) -> Tensor:
    """Return (n, L - 1) cross-entropies of the written tokens of dialogues without pictures."""
    language = model.language
    positions = torch.arange(batch.ids.shape[1], device=batch.ids.device).expand(3, *batch.ids.shape)
    if batch.content is None or batch.reach is None:
        embedded = language.embed(batch.ids)
    else:
        shown = batch.content + language.visual.laid_in(batch.reach)[:, None]
        embedded = language.embed_with_picture(batch.ids, shown)
    states = language.states(embedded, positions=positions, mask=batch.real.long())
    return model.token_losses(states, batch.ids, batch.target)


def _dialogue(
    rng: random.Random, row: Row, lesion: Drawing, how: Described, mix: KindMix, mode: ReasoningMode
) -> tuple[list[int], list[int]]:
    kind = choose_kind(rng, row, mix)
    question = write_question(rng, row, kind)
    reply = target_text(rng, row, lesion.facts, lesion.boxes_frame, kind, question, mode)
    words_alone = how.grid is None
    description = describe(row, lesion.facts, with_place=words_alone)
    head = how.tokenizer.described_prefix_ids(description, 0 if words_alone else _BLANKS)
    head += how.tokenizer.question_ids(question.text, mode)
    before, boxes_follow, _ = reply.partition(_BEFORE_BOXES)
    if words_alone and boxes_follow:
        reasoning, answer = how.tokenizer.reply_ids(before + boxes_follow)
        # The closing token of a reply that was cut off before its boxes is not learned.
        return head, reasoning + answer[:-1]
    reasoning, answer = how.tokenizer.reply_ids(reply)
    return head, reasoning + answer

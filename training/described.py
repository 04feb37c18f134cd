"""Described pictures: dialogues in which words stand where the picture would.

Whether a question fits a picture is a relation between words, and there are far more ways to ask than there are
pictures. A description ("ultrasound of breast, breast tumor") in the picture's place teaches it at a tenth of the cost
of a picture; what a picture shows is learned from pictures all the same.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coreseg_core.evaluation.rows import Row
from coreseg_core.models.chat import ChatTokenizer
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.record import REASONING_MODES, ReasoningMode
from training.wording import (
    KindMix,
    choose_kind,
    class_of,
    invented_box,
    invented_facts,
    subject_of,
    target_text,
    write_question,
)

_BEFORE_BOXES = " located at"


@dataclass(frozen=True, kw_only=True)
class DescribedBatch:
    """Dialogues without pictures, padded on the right.

    Attributes:
        ids: (n, L) token ids.
        real: (n, L) bool, False on padding.
        target: (n, L) bool, True on the tokens the model has to write.
    """

    ids: Tensor
    real: Tensor
    target: Tensor


def describe(row: Row) -> str:
    """Return what a picture shows, in the words of the reasoning."""
    subject = subject_of(row)
    return f"{subject.modality} of {subject.anatomy}, {'nothing focal' if row.lesion_free else class_of(row)}"


def described_batch(
    rng: random.Random,
    rows: Sequence[Row],
    n: int,
    *,
    tokenizer: ChatTokenizer,
    mix: KindMix,
    mode_weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> DescribedBatch:
    """Return `n` dialogues about descriptions of random rows; invented boxes are left out of the replies.

    Every subset is drawn as often as any other: words about a rare one are no rarer than words about a common one.
    A batch has one reasoning mode, so that its lengths are alike and little is padded; `mode_weights` are the
    chances of full, brief and none.
    """
    mode = rng.choices(REASONING_MODES, weights=mode_weights)[0]
    subsets: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        subsets[row.subset].append(row)
    groups = [subsets[name] for name in sorted(subsets)]
    written = [_dialogue(rng, rng.choice(rng.choice(groups)), tokenizer, mix, mode) for _ in range(n)]
    length = max(len(head) + len(reply) for head, reply in written)

    def padded(values: list[int], fill: int) -> list[int]:
        return values + [fill] * (length - len(values))

    return DescribedBatch(
        ids=torch.tensor([padded(head + reply, tokenizer.pad_id) for head, reply in written]),
        real=torch.tensor([padded([1] * len(head + reply), 0) for head, reply in written]).bool(),
        target=torch.tensor(
            [padded([0] * len(head) + [1] * len(reply), 0) for head, reply in written]
        ).bool(),
    )


def described_losses(model: CoreSegModel, batch: DescribedBatch) -> Tensor:
    """Return (n, L - 1) cross-entropies of the written tokens of dialogues without pictures."""
    language = model.language
    positions = torch.arange(batch.ids.shape[1], device=batch.ids.device).expand(3, *batch.ids.shape)
    states = language.states(language.embed(batch.ids), positions=positions, mask=batch.real.long())
    return model.token_losses(states, batch.ids, batch.target)


def _dialogue(
    rng: random.Random, row: Row, tokenizer: ChatTokenizer, mix: KindMix, mode: ReasoningMode
) -> tuple[list[int], list[int]]:
    kind = choose_kind(rng, row, mix)
    question = write_question(rng, row, kind)
    whole = target_text(rng, row, invented_facts(rng), [invented_box(rng)], kind, question, mode)
    before, found, _ = whole.partition(_BEFORE_BOXES)
    reasoning, answer = tokenizer.reply_ids(before + found)
    # The closing token of a reply that was cut off before its boxes is not learned.
    reply = reasoning + (answer[:-1] if found else answer)
    head = tokenizer.described_prefix_ids(describe(row)) + tokenizer.question_ids(question.text, mode)
    return head, reply

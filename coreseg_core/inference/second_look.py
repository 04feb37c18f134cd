"""A second look: how likely each kind of answer is when the model has to give it at once, without a word of reasoning.

Once a reasoning is written, the answer follows from it with all but certainty, so the probability of the answer says
nothing about the picture. Asked for the bare answer, the model has nothing but picture and question to go by. It costs
two short steps behind the cached picture, whatever the length of the reply.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from coreseg_core.answer import ANSWER_OPEN, AnswerKind
from coreseg_core.inference.continuation import Continuation
from coreseg_core.models.mllm import KeyValues, LanguageModel

Chances = dict[AnswerKind, float]
"""Of each of the three forms of answer; together 1."""


@torch.inference_mode()
def second_look(language: LanguageModel, prefix: KeyValues, questions: Sequence[str]) -> tuple[Chances, ...]:
    """Return the chances of the three forms of answer to one question a row of the prefix.

    Args:
        language: The language model.
        prefix: Keys and values of system and picture, (n, heads, length, dim) a layer.
        questions: n of them.
    """
    tokenizer = language.tokenizer
    opening = tokenizer.encode(ANSWER_OPEN)
    # The forms differ in their first two words: "No ...", "The question ...", "The CLASS ...".
    denied, said = tokenizer.encode("No")[0], tokenizer.encode("The question")
    continuation = Continuation(language, prefix)
    states = continuation.open([tokenizer.question_ids(text, "none") + opening for text in questions])[:, -1]
    first = language.logits(states).float().softmax(dim=-1)
    behind = language.logits(continuation.extend([said[0]] * len(questions))).float().softmax(dim=-1)
    absent, other, misfit = first[:, denied], first[:, said[0]], behind[:, said[1]]
    chances = torch.stack([other * (1 - misfit), absent, other * misfit], dim=1).double()
    chances = chances / chances.sum(dim=1, keepdim=True).clamp_min(1e-12)
    return tuple(
        {"present": present, "absent": absent, "mismatch": mismatch}
        for present, absent, mismatch in chances.tolist()
    )

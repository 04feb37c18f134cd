"""Several answers to one question in one pass with gradients, the question read once or once an answer.

Both ways give the same states and the same gradients; the shared one costs a fraction, and needs all keys and values of
the prompt in memory, so it excludes gradient checkpointing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache

from coreseg_core.models.mllm import LanguageModel

MAX_LOGITS = 2**26
"""Logits held at once: 0.25 GiB in single precision. With more, they are computed again in the backward pass."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What stands before every answer: system, picture, question.

    Attributes:
        ids: (1, P) token ids.
        positions: (3, 1, P) mRoPE positions.
    """

    ids: Tensor
    positions: Tensor


def completion_states(
    language: LanguageModel, prompt: Prompt, ids: Tensor, picture: Tensor, *, shared: bool
) -> Tensor:
    """Return the states (G, C, d) that predict the tokens of G answers.

    Args:
        language: The language model.
        prompt: What they answer.
        ids: (G, C) token ids, padded on the right.
        picture: (1, T, d) visual tokens of the prompt.
        shared: Read the prompt once, not once an answer.
    """
    return (_shared if shared else _plain)(language, prompt, ids, picture)


def _plain(language: LanguageModel, prompt: Prompt, ids: Tensor, picture: Tensor) -> Tensor:
    count, length = ids.shape
    before = prompt.ids.shape[1]
    whole = torch.cat([prompt.ids.expand(count, -1), ids[:, :-1]], dim=1)
    embedded = language.embed_with_picture(whole, picture.expand(count, -1, -1))
    positions = torch.cat([prompt.positions, _positions(prompt, length - 1)], dim=2)
    # Padding stands behind everything that is read, so no mask is needed.
    return language.states(embedded, positions=positions.expand(-1, count, -1))[:, before - 1 :]


def _shared(language: LanguageModel, prompt: Prompt, ids: Tensor, picture: Tensor) -> Tensor:
    count, length = ids.shape
    cache = DynamicCache(config=language.text.config)
    embedded = language.embed_with_picture(prompt.ids, picture)
    first = language.states(embedded, positions=prompt.positions, cache=cache)[:, -1:].expand(count, -1, -1)
    if length == 1:
        return first
    # Every answer attends to the same keys and values; the gradients of all add up in them.
    spread = DynamicCache(
        [
            (layer.keys.expand(count, -1, -1, -1), layer.values.expand(count, -1, -1, -1))
            for layer in cache.layers
        ]
    )
    rest = language.states(
        language.embed(ids[:, :-1]),
        positions=_positions(prompt, length - 1).expand(-1, count, -1),
        cache=spread,
    )
    return torch.cat([first, rest], dim=1)


def _positions(prompt: Prompt, length: int) -> Tensor:
    """Return the positions (3, 1, length) of text behind the prompt."""
    start = prompt.positions.max() + 1
    return (start + torch.arange(length, device=prompt.ids.device)).expand(3, 1, -1)


def token_log_probs(
    language: LanguageModel, states: Tensor, ids: Tensor, *, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return log-probability and entropy, each (k,), of tokens (k,) under the states (k, d) that predict them.

    The entropy has no gradient. Logits are made in pieces and not kept where they would be many.
    """

    def piece(some: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        logits = language.logits(some)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
        log_probs = logits.log_softmax(dim=-1)
        with torch.no_grad():
            entropy = -(log_probs.exp() * log_probs).sum(dim=-1)
        return log_probs.gather(1, tokens[:, None])[:, 0], entropy

    rows = max(1, MAX_LOGITS // int(language.head.out_features))
    if len(ids) <= rows:
        return piece(states, ids)
    pieces = [
        checkpoint(piece, states[at : at + rows], ids[at : at + rows], use_reentrant=False)
        for at in range(0, len(ids), rows)
    ]
    return torch.cat([log_probs for log_probs, _ in pieces]), torch.cat([entropy for _, entropy in pieces])

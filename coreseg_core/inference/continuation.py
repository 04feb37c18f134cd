"""What is laid behind a cached prefix, token by token: a question, then the reply that grows behind it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from coreseg_core.models.mllm import KeyValues, LanguageModel
from coreseg_core.models.token_steps import TokenSteps


class Continuation:
    """A prefix and what is laid behind it, row by row; questions of different lengths are padded on the left.

    Args:
        language: The language model.
        prefix: Keys and values of system and picture, (n, heads, length, dim) a layer; left as they are.
    """

    def __init__(self, language: LanguageModel, prefix: KeyValues) -> None:
        self._language = language
        self._cache = prefix.to_cache()
        self._prefix_length, self._device = prefix.length, prefix.layers[0][0].device
        self._next = torch.full(
            (int(prefix.layers[0][0].shape[0]), 1), prefix.next_position, device=self._device
        )
        self._real: Tensor | None = None
        self._steps: TokenSteps | None = None

    def open(self, sequences: Sequence[list[int]]) -> Tensor:
        """Return states (n, L, d) of the first tokens of each row, the rows aligned at their ends."""
        length = max(len(ids) for ids in sequences)
        gaps = torch.tensor([[length - len(ids)] for ids in sequences], device=self._device)
        pad_id = self._language.tokenizer.pad_id
        tokens = torch.tensor(
            [[pad_id] * (length - len(ids)) + ids for ids in sequences], device=self._device
        )
        places = torch.arange(length, device=self._device)[None]
        if int(gaps.max()) > 0:
            behind = torch.ones(len(gaps), self._prefix_length, dtype=torch.bool, device=self._device)
            self._real = torch.cat([behind, places >= gaps], dim=1)
        positions = self._next + (places - gaps).clamp_min(0)
        self._next = positions[:, -1:] + 1
        return self._states(tokens, positions)

    def repeat(self, copies: int) -> None:
        """Go on with `copies` rows in the place of each."""
        if copies == 1:
            return
        self._cache.batch_repeat_interleave(copies)
        self._next = self._next.repeat_interleave(copies, dim=0)
        if self._real is not None:
            self._real = self._real.repeat_interleave(copies, dim=0)

    def extend(self, tokens: Sequence[int]) -> Tensor:
        """Return the states (n, d) of one more token a row."""
        if self._steps is None:
            self._steps = TokenSteps(self._language.text, self._cache, positions=self._next, real=self._real)
        return self._steps.extend(self._language.embed(torch.tensor(tokens, device=self._device)[:, None]))

    def _states(self, tokens: Tensor, positions: Tensor) -> Tensor:
        return self._language.states(
            self._language.embed(tokens),
            positions=positions.expand(3, -1, -1),
            cache=self._cache,
            mask=None if self._real is None else self._real.long(),
        )

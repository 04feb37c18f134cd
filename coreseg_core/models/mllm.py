"""Qwen2.5-VL as this project uses it: embed, attend, predict, with visual tokens laid in and `<seg>` laid over.

The transformers classes do the attention; what is ours is the way in (one prefix per picture, mRoPE positions that
follow from the prefix) and the way out (hidden states and logits, not only ids).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from coreseg_core.models.chat import ChatTokenizer
from coreseg_core.models.seg_token import SegToken
from coreseg_core.models.visual_tokens import VisualTokens


@dataclass(frozen=True)
class KeyValues:
    """Keys and values of all layers, each (n, heads, length, dim), and the position of the next token."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    next_position: int

    @property
    def length(self) -> int:
        """Tokens behind these keys and values."""
        return int(self.layers[0][0].shape[2])

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(key.nbytes + value.nbytes for key, value in self.layers)

    def to_cache(self) -> DynamicCache:
        """Return a transformers cache over these tensors; appending to it leaves them unchanged."""
        return DynamicCache(list(self.layers))


class LanguageModel(nn.Module):
    """The language model with its visual tokens, its tokenizer and `<seg>`.

    Args:
        text: transformers' `Qwen2_5_VLTextModel`.
        head: Projection of states to the vocabulary.
        visual: Source of the visual tokens.
        tokenizer: The chat tokenizer.
    """

    def __init__(
        self, *, text: nn.Module, head: nn.Linear, visual: nn.Module, tokenizer: ChatTokenizer
    ) -> None:
        super().__init__()
        self.text: Any = text
        self.head = head
        self.visual: Any = visual
        self.tokenizer = tokenizer
        self.dim = int(head.in_features)
        self.seg = SegToken(tokenizer.seg_id, dim=self.dim)

    @property
    def visual_tokens(self) -> VisualTokens:
        """The source of the visual tokens, as its Protocol."""
        visual: VisualTokens = self.visual
        return visual

    def embed(self, ids: Tensor) -> Tensor:
        """Return input embeddings (n, L, d) of ids (n, L)."""
        return self.seg.overlay_inputs(ids, self.text.embed_tokens(ids))

    def embed_with_picture(self, ids: Tensor, picture: Tensor) -> Tensor:
        """Return input embeddings (n, L, d) with visual tokens (n, T, d) in the places of the picture."""
        embedded = self.embed(ids)
        places = (ids == self.tokenizer.image_id)[..., None].expand_as(embedded)
        return embedded.masked_scatter(places, picture.to(embedded.dtype))

    def states(
        self,
        embedded: Tensor,
        *,
        positions: Tensor,
        cache: DynamicCache | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return last-layer states (n, L, d); `positions` is (3, n, L), `mask` (n, past + L) marks real tokens."""
        out = self.text(
            inputs_embeds=embedded,
            position_ids=positions,
            past_key_values=cache,
            attention_mask=mask,
            use_cache=cache is not None,
        )
        states: Tensor = out.last_hidden_state
        return states

    def logits(self, states: Tensor) -> Tensor:
        """Return vocabulary logits of states."""
        return self.seg.overlay_logits(states, self.head(states))

    @torch.no_grad()
    def prefill_pictures(self, picture: Tensor, grid_hw: tuple[int, int]) -> KeyValues:
        """Return keys and values of system and picture, visual tokens (n, T, d) of one grid."""
        n, tokens = picture.shape[:2]
        ids = torch.tensor([self.tokenizer.prefix_ids(tokens)] * n, device=picture.device)
        cache = DynamicCache(config=self.text.config)
        positions = sequence_positions(ids[0].tolist(), self.tokenizer.image_id, grid_hw).to(picture.device)
        embedded = self.embed_with_picture(ids, picture)
        self.states(embedded, positions=positions[:, None].expand(3, n, -1), cache=cache)
        layers = tuple((layer.keys, layer.values) for layer in cache.layers)
        return KeyValues(layers=layers, next_position=int(positions.max()) + 1)


def sequence_positions(ids: list[int], image_id: int, grid_hw: tuple[int, int]) -> Tensor:
    """Return mRoPE positions (3, L) of a sequence with one picture: time, row, column.

    Text counts on by one along all three; the picture's tokens share one time and count rows and columns from where
    the text stopped; the text after it goes on behind the larger of the two (Qwen2-VL, section 2.1).
    """
    start = ids.index(image_id) if image_id in ids else len(ids)
    rows, cols = grid_hw
    before = torch.arange(start).expand(3, -1)
    if start == len(ids):
        return before
    row = torch.arange(rows).repeat_interleave(cols) + start
    col = torch.arange(cols).repeat(rows) + start
    picture = torch.stack([torch.full_like(row, start), row, col])
    remaining = len(ids) - start - rows * cols
    after = (torch.arange(remaining) + start + max(rows, cols)).expand(3, -1)
    return torch.cat([before, picture, after], dim=1)

"""The language model one token at a time, over keys and values with room to grow.

transformers' own forward does the same sums, but prepares masks, cache and outputs anew for every call and copies the
whole cache to lengthen it by one; for `lite` that is most of the time of a token. Here the same modules (with whatever
LoRA lies over them) are called on buffers that are filled in place.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache

ROOM = 64
"""Tokens for which room is made at a time."""


class TokenSteps:
    """A sequence in n rows that grows by one token a row at a time.

    Args:
        text: transformers' `Qwen2_5_VLTextModel`, every layer with full attention.
        cache: Keys and values so far, (n, heads, length, dim) a layer; they are copied.
        positions: (n, 1) text position of the next token of each row; the three axes of mRoPE agree behind a picture.
        real: (n, length) which tokens so far are no padding, or None if all are.
    """

    def __init__(self, text: Any, cache: DynamicCache, *, positions: Tensor, real: Tensor | None) -> None:
        self._text = text
        self._keys = [layer.keys for layer in cache.layers]
        self._values = [layer.values for layer in cache.layers]
        self._length = int(self._keys[0].shape[2])
        self._next = positions
        self._real = real
        self._full = self._length

    def extend(self, embedded: Tensor) -> Tensor:
        """Return last-layer states (n, d) of one more token a row, embedded as (n, 1, d)."""
        if self._length == self._full:
            self._make_room(embedded)
        at, self._length = self._length, self._length + 1
        place = at - self._full + ROOM
        rotation = self._cos[:, None, place, None], self._sin[:, None, place, None]
        mask = None if self._real is None else self._real[:, None, None, : self._length]
        hidden = embedded
        for number, layer in enumerate(self._text.layers):
            hidden = hidden + self._attend(layer, number, layer.input_layernorm(hidden), at, rotation, mask)
            hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        states: Tensor = self._text.norm(hidden)
        return states[:, 0]

    def _attend(
        self,
        layer: Any,
        number: int,
        hidden: Tensor,
        at: int,
        rotation: tuple[Tensor, Tensor],
        mask: Tensor | None,
    ) -> Tensor:
        attention, (cos, sin) = layer.self_attn, rotation
        heads = (len(hidden), 1, -1, attention.head_dim)
        query, key, value = (
            project(hidden).view(heads).transpose(1, 2)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        keys, values = self._keys[number], self._values[number]
        keys[:, :, at : at + 1] = _rotated(key, cos, sin)
        values[:, :, at : at + 1] = value
        out = F.scaled_dot_product_attention(
            _rotated(query, cos, sin),
            keys[:, :, : self._length],
            values[:, :, : self._length],
            attn_mask=mask,
            scale=attention.scaling,
            enable_gqa=attention.num_key_value_groups > 1,
        )
        projected: Tensor = attention.o_proj(out.transpose(1, 2).reshape(len(hidden), 1, -1))
        return projected

    def _make_room(self, like: Tensor) -> None:
        """Lengthen the buffers by `ROOM` tokens and lay out the rotations of the positions to come."""
        self._full += ROOM
        self._keys = [F.pad(keys, (0, 0, 0, ROOM)) for keys in self._keys]
        self._values = [F.pad(values, (0, 0, 0, ROOM)) for values in self._values]
        if self._real is not None:
            self._real = F.pad(self._real, (0, ROOM), value=True)
        places = self._next + torch.arange(ROOM, device=like.device)
        self._next = self._next + ROOM
        cos, sin = self._text.rotary_emb(like, places.expand(3, -1, -1))
        half = sin.shape[-1] // 2
        # rotate_half(x) * sin is x.roll(half) * sin with its first half negated: one operation less a layer.
        self._cos, self._sin = cos, torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)


def _rotated(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return states * cos + states.roll(states.shape[-1] // 2, dims=-1) * sin

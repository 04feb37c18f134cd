"""One encoder for two segmenters: what the model has looked at, the box prompts need not look at again."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor, nn

from coreseg_core.models.segmenter import Segmenter

_KEPT = 4
"""Squares that are remembered: the picture at hand, and the black one of the image-blind ablation."""


class RememberingEncoder(nn.Module):
    """Encodes a square once, as long as no more than a few others come between.

    Args:
        encoder: A frozen image encoder.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.encodes = 0
        self._seen: deque[tuple[Tensor, Tensor]] = deque(maxlen=_KEPT)

    def forward(self, squares: Tensor) -> Tensor:
        """Return the embeddings (n, C, H, W) of squares (n, 3, side, side)."""
        for place, (seen, embedding) in enumerate(self._seen):
            if seen.shape == squares.shape and torch.equal(seen, squares):
                # To the end: what is used stays.
                del self._seen[place]
                self._seen.append((seen, embedding))
                return embedding
        self.encodes += len(squares)
        embedding = self.encoder(squares)
        self._seen.append((squares, embedding))
        return embedding


def share_encoder(first: Segmenter, second: Segmenter) -> bool:
    """Let two segmenters encode through one remembering encoder; return False where theirs differ."""
    one, two = first.image_encoder.state_dict(), second.image_encoder.state_dict()
    if one.keys() != two.keys() or not all(_same(one[name], two[name]) for name in one):
        return False
    first.image_encoder = second.image_encoder = RememberingEncoder(first.image_encoder)
    return True


def _same(one: Tensor, two: Tensor) -> bool:
    return one.dtype == two.dtype and one.device == two.device and torch.equal(one, two)

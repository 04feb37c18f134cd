"""`<seg>`: one spare row of the vocabulary with two trained vectors of our own.

The vocabulary table of Qwen2.5 is larger than its tokenizer, so `<seg>` takes the first free id without resizing.
Its input and output vectors are parameters here, not rows of the table: the table stays frozen, and nothing is copied
at a forward pass (PEFT's trainable token indices copy the whole table twice).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SEG = "<seg>"


class SegToken(nn.Module):
    """The two vectors of `<seg>`, laid over the embedding table and over the logits.

    Args:
        token_id: The id that `<seg>` takes.
        dim: Width of the language model.
    """

    def __init__(self, token_id: int, *, dim: int) -> None:
        super().__init__()
        self.token_id = token_id
        self.input_row = nn.Parameter(torch.randn(dim) * 0.02)
        self.output_row = nn.Parameter(torch.randn(dim) * 0.02)

    def overlay_inputs(self, ids: Tensor, embedded: Tensor) -> Tensor:
        """Return embeddings (n, L, d) with the rows of `<seg>` replaced."""
        return torch.where((ids == self.token_id)[..., None], self.input_row.to(embedded.dtype), embedded)

    def overlay_logits(self, states: Tensor, logits: Tensor) -> Tensor:
        """Return logits (..., V) with the column of `<seg>` replaced."""
        column = (states @ self.output_row.to(states.dtype))[..., None]
        before, after = logits[..., : self.token_id], logits[..., self.token_id + 1 :]
        return torch.cat([before, column.to(logits.dtype), after], dim=-1)

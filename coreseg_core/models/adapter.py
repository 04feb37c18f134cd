"""The Semantic-Guided Prompt Adapter: from the language model's states to prompt tokens of the segmenter.

CORE-Seg (arXiv 2603.05911) names its two blocks ResMLP and attention pooling. Here k learned queries attend over the
ResMLP'd states of the answer tokens, with the state that predicts `<seg>` favoured by a learned bias, so that the pool
starts as a reading of `<seg>` alone. What else it can be given to read: `coreseg_core.models.mask_prompts`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_INITIAL_SEG_BIAS = 3.0


class ResMLP(nn.Module):
    """Two linear layers with a linear skip, from the language model's width to the segmenter's."""

    def __init__(self, in_dim: int, *, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_dim)
        self.expand = nn.Linear(in_dim, hidden_dim)
        self.project = nn.Linear(hidden_dim, out_dim)
        self.skip = nn.Linear(in_dim, out_dim)

    def forward(self, states: Tensor) -> Tensor:
        x = self.norm(states)
        return self.project(F.gelu(self.expand(x))) + self.skip(x)


class SemanticPromptAdapter(nn.Module):
    """Maps answer states (n, L, d) to sparse prompt tokens (n, k, prompt_dim).

    Args:
        state_dim: Width d of the language model.
        prompt_dim: Width of the segmenter's prompt tokens.
        queries: Number k of prompt tokens.
        hidden_dim: Width inside the ResMLP.
        heads: Attention heads of the pool.
    """

    def __init__(
        self,
        state_dim: int,
        *,
        prompt_dim: int,
        queries: int,
        hidden_dim: int,
        heads: int,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.res_mlp = ResMLP(state_dim, hidden_dim=hidden_dim, out_dim=prompt_dim)
        self.queries = nn.Parameter(torch.randn(queries, prompt_dim) * prompt_dim**-0.5)
        self.key = nn.Linear(prompt_dim, prompt_dim)
        self.value = nn.Linear(prompt_dim, prompt_dim)
        self.seg_bias = nn.Parameter(torch.tensor(_INITIAL_SEG_BIAS))
        self.out = nn.Sequential(nn.LayerNorm(prompt_dim), nn.Linear(prompt_dim, prompt_dim))

    def forward(self, states: Tensor, *, answer: Tensor, seg: Tensor) -> Tensor:
        """Return prompt tokens (n, k, prompt_dim).

        Args:
            states: (n, L, d) hidden states of the last layer.
            answer: (n, L) bool, True where a state belongs to the answer (the `<seg>` state included).
            seg: (n, L) bool, True at the one state of each row that predicts `<seg>`.
        """
        n, length, _ = states.shape
        allowed = answer | seg
        # The language model may run in bfloat16; the adapter is trained and stays in float32.
        features = self.res_mlp(states.to(self.queries.dtype))
        key = self._split(self.key(features))
        value = self._split(self.value(features))
        query = self._split(self.queries.expand(n, -1, -1))
        bias = self.seg_bias * seg.to(features.dtype)
        bias = bias.masked_fill(~allowed, float("-inf"))[:, None, None, :]
        bias = bias.expand(n, self.heads, query.shape[2], length)
        pooled = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        pooled = pooled.transpose(1, 2).flatten(2)
        tokens: Tensor = self.out(pooled + self.queries)
        return tokens

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

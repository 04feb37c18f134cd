"""A model whose weights spell out one reply: real classes throughout, no picture changes what is said.

The layers add nothing to the residual stream, so the last state is the embedding of the last token, and the head maps
each token of the reply to the one that follows it. The adapter's output is zero, so the mask follows from the reader's
clicks and boxes alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from small_lite import small_lite
from torch import nn

from coreseg_core.inference.answering import Answering
from coreseg_core.inference.segment import SliceSegmenter
from coreseg_core.models.adapter import SemanticPromptAdapter
from coreseg_core.models.build import build_language
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.mllm import LanguageModel
from coreseg_core.models.preset import Preset
from coreseg_core.models.segmenter import SamSegmenter

PRESENT = "<answer>The liver tumor is here, it has mask <seg>"
ABSENT = "<answer>No liver tumor is seen.</answer>"
MISFIT = "<answer>The question does not fit: this is CT of head.</answer>"
GIBBERISH = "<answer>Well, who can tell?</answer>"
_LOGIT = 4.0
"""Gain of the head: the next token of the reply has all but all of the probability."""

_GROWTH = 1.22
"""Of the bond between two tokens over the bond before it."""

Speaker = Callable[..., SliceSegmenter]
"""Makes a segmenter from its reply."""


@dataclass
class Heard:
    """Slices that went through the image encoder, counted at the encoder itself."""

    slices: int = 0


def segmenter_that_says(
    reply: str, *, parts: SamSegmenter, tokenizer: Path, check_words: bool = False
) -> SliceSegmenter:
    """Return a segmenter that answers every question with `reply` (asked without reasoning).

    Args:
        reply: Begins with `<answer>`; no token of it occurs twice, ends with `</answer>` or `<seg>`.
        parts: The encoder and decoder to use.
        tokenizer: The tokenizer file.
        check_words: As in `SliceSegmenter`.
    """
    model = model_that_says(reply, small_lite(), parts=parts, tokenizer=tokenizer)
    card = {"preset": "lite", "version": "spelled", "sha256": "0" * 64}
    answering = Answering(model, fingerprint="0" * 64)
    return SliceSegmenter(answering, model_card=card, check_words=check_words)


def model_that_says(
    reply: str, preset: Preset, *, parts: SamSegmenter, tokenizer: Path, tied: bool = False
) -> CoreSegModel:
    """Return the model behind `segmenter_that_says`, of any preset of the `lite` make.

    Args:
        reply: As there.
        preset: Its sizes.
        parts: As there.
        tokenizer: As there.
        tied: Head and embedding stay one table, so that the weights can be saved and served.
    """
    torch.manual_seed(0)
    language = build_language(preset.language, preset.visual_tokens, tokenizer=tokenizer, segmenter=parts)
    (_spell_tied if tied else _spell)(language, reply)
    spec = preset.adapter
    adapter = SemanticPromptAdapter(
        language.dim,
        prompt_dim=parts.prompt_dim,
        queries=spec.queries,
        hidden_dim=spec.hidden_dim,
        heads=spec.heads,
    )
    last = adapter.out[1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return CoreSegModel(preset, language=language, adapter=adapter, segmenter=parts).eval()


@torch.no_grad()
def _spell(language: LanguageModel, reply: str) -> None:
    ids = _silence(language, reply)
    table = torch.zeros_like(language.head.weight)
    following = torch.zeros_like(table)
    for place, (token, after) in enumerate(pairwise(ids)):
        table[token, place] = 1.0
        following[after, place] = _LOGIT
    language.text.embed_tokens.weight = nn.Parameter(table)
    language.head.weight = nn.Parameter(following)
    language.seg.output_row.copy_(following[language.tokenizer.seg_id])


@torch.no_grad()
def _spell_tied(language: LanguageModel, reply: str) -> None:
    """Spell with one table for both ends: neighbours share a direction, the later pair the stronger one.

    The norm before the head turns each token's own direction against itself, so that none repeats.
    """
    ids = _silence(language, reply)
    table = torch.zeros_like(language.head.weight)
    norm = torch.zeros_like(language.text.norm.weight)
    for place, (token, after) in enumerate(pairwise(ids)):
        table[token, place] = table[after, place] = 2.0 * _GROWTH**place
        norm[place] = 1.0
    for place, token in enumerate(ids):
        table[token, len(ids) + place] = 1.1 * table[token].norm()
        norm[len(ids) + place] = -1.0
    language.head.weight.copy_(table)
    language.text.norm.weight.copy_(norm)
    language.seg.output_row.copy_(table[language.tokenizer.seg_id])


def _silence(language: LanguageModel, reply: str) -> list[int]:
    """Return the tokens of the reply, after every layer was made to add nothing."""
    ids = list(language.tokenizer.encode(reply))
    if len(set(ids)) != len(ids) or 2 * len(ids) > language.dim:
        raise ValueError("each token of the reply may occur once, and the model must be wide enough for them")
    for layer in language.text.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    return ids

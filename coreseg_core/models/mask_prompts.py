"""What the segmenter is prompted with once the answer is written: CORE-Seg's way, and what it is held against.

`attended` is what ships: the adapter's queries attend over the states of the answer, `<seg>` favoured. The others are
the paper's ablations: `seg`, that one state alone; `pooled`, the mean over the answer in its place; `boxes`, no adapter
at all, but the boxes that the answer writes as text, each drawn by itself through SAM's own prompt encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from coreseg_core.errors import InputError
from coreseg_core.models.segmenter import Segmenter

MaskPrompt = Literal["attended", "seg", "pooled", "boxes"]
MASK_PROMPTS: tuple[MaskPrompt, ...] = get_args(MaskPrompt)
MAX_PROMPT_BOXES = 16
"""Boxes of one answer that are drawn; each costs a pass of the mask decoder."""
_NOTHING = -10.0
"""Logit of a pixel that no box was drawn for."""


def require_mask_prompt(name: object) -> MaskPrompt:
    """Return the name of a way to prompt the segmenter.

    Raises:
        InputError: There is no such way.
    """
    for known in MASK_PROMPTS:
        if name == known:
            return known
    raise InputError(
        f"There is no mask prompt {str(name)[:40]!r}.", remedy=f"Use one of {', '.join(MASK_PROMPTS)}."
    )


def read_states(
    kind: MaskPrompt, states: Tensor, *, answer: Tensor, seg: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the adapter reads: states (n, L', d), those of the answer and that of `<seg>` (n, L') bool.

    Args:
        kind: How the adapter is used.
        states: (n, L, d) hidden states of the last layer.
        answer: (n, L) bool, True where a state belongs to the answer.
        seg: (n, L) bool, True at the one state of each row that predicts `<seg>`.
    """
    if kind == "seg":
        return states, seg, seg
    if kind == "pooled":
        read = (answer | seg)[..., None]
        mean = torch.where(read, states, 0.0).sum(dim=1, keepdim=True) / read.sum(dim=1, keepdim=True)
        whole = torch.ones(mean.shape[:2], dtype=torch.bool, device=mean.device)
        return mean, whole, whole
    return states, answer, seg


def draw_boxes(
    segmenter: Segmenter, embeddings: Tensor, boxes: Sequence[Tensor], *, reader: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the united masks of each slice's boxes as logits (n, 4H, 4W), and the mean predicted IoU (n,).

    A slice without boxes gets a mask of nothing.

    Args:
        segmenter: Draws.
        embeddings: (n, C, H, W).
        boxes: Of each slice (k, 4), xyxy in pixels of the mask logits; the first `MAX_PROMPT_BOXES` are drawn.
        reader: (n, r, C) tokens of the reader's own marks, laid beside each box.
    """
    drawn = [some[:MAX_PROMPT_BOXES] for some in boxes]
    counts = [len(some) for some in drawn]
    rows = torch.repeat_interleave(torch.tensor(counts, dtype=torch.long)).to(embeddings.device)
    side = segmenter.mask_side_px
    corners = torch.cat([torch.zeros(0, 4, device=embeddings.device), *drawn])
    tokens = segmenter.box_tokens(corners * (segmenter.side_px / side))
    if reader is not None:
        tokens = torch.cat([tokens, reader[rows].to(tokens.dtype)], dim=1)
    logits, predicted_iou = segmenter.decode(embeddings[rows], tokens)
    if not counts:
        return logits, predicted_iou
    united = [
        some.amax(dim=0) if len(some) else logits.new_full((side, side), _NOTHING)
        for some in logits.split(counts)
    ]
    trusted = [some.mean() if len(some) else some.new_zeros(()) for some in predicted_iou.split(counts)]
    return torch.stack(united), torch.stack(trusted)

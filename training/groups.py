"""A group of sampled answers as tensors, and the one pass with gradients over all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from coreseg_core.models.completions import Prompt, completion_states, token_log_probs
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.mllm import LanguageModel, sequence_positions
from training.rollouts import Group, view_tensors, written_boxes
from training.samples import square_mask

Watch = Callable[[str, Tensor], None]
"""Told the gradient that comes back from `words` or `masks` to the language model's states."""


@dataclass(frozen=True, kw_only=True)
class GroupBatch:
    """A group as the model reads it; places (G, C) are those of the states that predict the answers' tokens.

    Attributes:
        prompt: System, picture and question.
        ids: (G, C) tokens of the answers, padded on the right.
        written: (G, C) bool, tokens that the policy chose.
        answer: (G, C) bool, states of the answer up to the one that predicts `<seg>`; of answers whose mask is learned.
        seg: (G, C) bool, that one.
        embedding: (1, C, H, W) of the segmenter.
        frame: (1, 3, h, w) of 0..1 for a vision tower of the language model's own, or None.
        mask: (1, side, side) the true lesions at the pitch of the mask logits.
        boxes: Of each answer (k, 4), as it wrote them, xyxy in pixels of the mask logits.
    """

    prompt: Prompt
    ids: Tensor
    written: Tensor
    answer: Tensor
    seg: Tensor
    embedding: Tensor
    frame: Tensor | None
    mask: Tensor
    boxes: tuple[Tensor, ...]

    @property
    def with_mask(self) -> Tensor:
        """(m,) numbers of the answers whose mask is learned."""
        return self.seg.any(dim=1).nonzero()[:, 0]


@dataclass(frozen=True, kw_only=True)
class GroupOutput:
    """What the pass gives.

    Attributes:
        log_probs: (G, C) of the written tokens, 0 elsewhere.
        entropy: Sum over the written tokens, without a gradient.
        mask_logits: (m, side, side) of `GroupBatch.with_mask`.
        predicted_iou: (m,) the segmenter's own estimate.
    """

    log_probs: Tensor
    entropy: Tensor
    mask_logits: Tensor
    predicted_iou: Tensor


def group_batch(
    group: Group, language: LanguageModel, *, side_px: int, learned_masks: int | None = None
) -> GroupBatch:
    """Return a group as tensors.

    A mask is learned where the picture shows what was asked for and the answer wrote `<seg>`.

    Args:
        group: The group.
        language: Its tokenizer and grid of visual tokens.
        side_px: Side of the mask logits.
        learned_masks: The first so many at most; None for all.
    """
    asked, tokenizer = group.asked, language.tokenizer
    grid_hw = language.visual_tokens.grid_hw(asked.frame_wh)
    head = tokenizer.prefix_ids(grid_hw[0] * grid_hw[1]) + tokenizer.question_ids(asked.question, asked.mode)
    replies = [rollout.reply for rollout in group.rollouts]
    lengths = torch.tensor([len(reply.ids) for reply in replies])[:, None]
    longest = int(lengths.max())
    states = [reply.answer_states if asked.truth.present else None for reply in replies]
    drawn = {number: len(found) for number, found in enumerate(states) if found is not None}
    learned = dict(islice(drawn.items(), learned_masks))
    counts = torch.tensor([learned.get(number, 0) for number in range(len(replies))])[:, None]
    places = torch.arange(longest)[None]
    embedding, frame = view_tensors(asked.view)
    return GroupBatch(
        prompt=Prompt(
            ids=torch.tensor([head]),
            positions=sequence_positions(head, tokenizer.image_id, grid_hw)[:, None],
        ),
        ids=torch.tensor(
            [[*reply.ids, *[tokenizer.pad_id] * (longest - len(reply.ids))] for reply in replies]
        ),
        written=places < lengths,
        answer=(places >= lengths - counts) & (places < lengths),
        seg=(places == lengths - 1) & (counts > 0),
        embedding=embedding,
        frame=frame,
        mask=torch.from_numpy(square_mask(asked.view.mask, side_px))[None],
        boxes=tuple(written_boxes(reply, asked) for reply in replies),
    )


class GroupLearner(nn.Module):
    """The pass with gradients: log-probabilities of what was written, and masks from the same states.

    Args:
        model: The policy.
        temperature: At which the answers were drawn; their probabilities are those at this temperature.
        shared: Read the prompt once a group, not once an answer.
        mask_gradient: Whether what the masks teach goes on from the adapter into the language model.
    """

    def __init__(self, model: CoreSegModel, *, temperature: float, shared: bool, mask_gradient: bool) -> None:
        super().__init__()
        self.model = model
        self._temperature, self._shared, self._mask_gradient = temperature, shared, mask_gradient

    def forward(self, batch: GroupBatch, watch: Watch | None = None) -> GroupOutput:
        """Return log-probabilities and masks of a group."""
        states = self._states(batch)
        for_words, for_masks = states.view_as(states), states.view_as(states)
        if not self._mask_gradient:
            for_masks = for_masks.detach()
        if watch is not None:
            _report_gradient(for_words, "words", watch)
            _report_gradient(for_masks, "masks", watch)
        log_probs, entropy = self._log_probs(batch, for_words)
        rows = batch.with_mask
        mask_logits, predicted_iou = self.model.masks(
            batch.embedding.expand(len(rows), -1, -1, -1),
            for_masks[rows],
            answer=batch.answer[rows],
            seg=batch.seg[rows],
            boxes=[batch.boxes[row] for row in rows.tolist()],
        )
        return GroupOutput(
            log_probs=log_probs, entropy=entropy, mask_logits=mask_logits, predicted_iou=predicted_iou
        )

    @torch.no_grad()
    def log_probs(self, batch: GroupBatch) -> Tensor:
        """Return log-probabilities (G, C) of the written tokens without a gradient, 0 elsewhere."""
        return self._log_probs(batch, self._states(batch))[0]

    def _states(self, batch: GroupBatch) -> Tensor:
        language = self.model.language
        picture = language.visual(batch.frame, batch.embedding)
        return completion_states(language, batch.prompt, batch.ids, picture, shared=self._shared)

    def _log_probs(self, batch: GroupBatch, states: Tensor) -> tuple[Tensor, Tensor]:
        log_probs, entropies = token_log_probs(
            self.model.language,
            states[batch.written],
            batch.ids[batch.written],
            temperature=self._temperature,
        )
        empty = torch.zeros(batch.ids.shape, dtype=log_probs.dtype, device=log_probs.device)
        return empty.masked_scatter(batch.written, log_probs), entropies.sum()


def _report_gradient(states: Tensor, name: str, watch: Watch) -> None:
    if states.requires_grad:
        states.register_hook(lambda gradient: watch(name, gradient))

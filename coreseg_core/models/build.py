"""Builds models from presets; the only place that knows class names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.initialization import no_init_weights
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import (
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLVisionConfig,
)
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionTransformerPretrainedModel,
    Qwen2_5_VLTextModel,
)

from coreseg_core.models.adapter import SemanticPromptAdapter
from coreseg_core.models.chat import ChatTokenizer
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.lite_medsam import build_lite_medsam
from coreseg_core.models.mask_prompts import MaskPrompt
from coreseg_core.models.mllm import LanguageModel
from coreseg_core.models.preset import LanguageSpec, LoraSpec, Preset, VisualSpec
from coreseg_core.models.sam import build_sam, published_sizes
from coreseg_core.models.segmenter import SamSegmenter
from coreseg_core.models.visual_tokens import QwenTokens, SegmenterTokens

LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def build_coreseg(
    preset: Preset,
    *,
    tokenizer: Path,
    encoder_dtype: torch.dtype = torch.float32,
    language_dtype: torch.dtype = torch.float32,
    initialise: bool = True,
    mask_prompt: MaskPrompt = "attended",
) -> CoreSegModel:
    """Return a model of a preset with random trained parts; the segmenter has its published weights if packaged.

    Args:
        preset: What to build.
        tokenizer: A `tokenizer.json` in Qwen2 format.
        encoder_dtype: Of the frozen image encoder; see `best_encoder_dtype`.
        language_dtype: Of the language model and its vision tower; what is trained beside a frozen one (low-rank
            updates, `<seg>`, adapter, mask decoder) stays float32.
        initialise: False leaves language model and tower as memory was found, because `base_weights` fills them.
        mask_prompt: What the segmenter is prompted with.
    """
    segmenter = build_segmenter(preset, encoder_dtype=encoder_dtype)
    language = build_language(
        preset.language,
        preset.visual_tokens,
        tokenizer=tokenizer,
        segmenter=segmenter,
        dtype=language_dtype,
        initialise=initialise,
    )
    adapter = SemanticPromptAdapter(
        language.dim,
        prompt_dim=segmenter.prompt_dim,
        queries=preset.adapter.queries,
        hidden_dim=preset.adapter.hidden_dim,
        heads=preset.adapter.heads,
    )
    return CoreSegModel(
        preset, language=language, adapter=adapter, segmenter=segmenter, mask_prompt=mask_prompt
    )


def build_segmenter(preset: Preset, *, encoder_dtype: torch.dtype = torch.float32) -> SamSegmenter:
    """Return the segmenter of a preset."""
    spec = preset.segmenter
    if spec.kind == "lite_medsam":
        return build_lite_medsam(encoder_dtype=encoder_dtype)
    sizes = replace(published_sizes(spec.variant), **(spec.sizes or {}))
    return build_sam(sizes, normalisation=spec.normalisation, encoder_dtype=encoder_dtype)


def build_language(
    spec: LanguageSpec,
    visual: VisualSpec,
    *,
    tokenizer: Path,
    segmenter: SamSegmenter,
    dtype: torch.dtype = torch.float32,
    initialise: bool = True,
) -> LanguageModel:
    """Return the language model of a preset with random weights, or with unfilled ones; see `build_coreseg`."""
    config = Qwen2_5_VLTextConfig(**dict(spec.config), use_cache=True)
    with _created(dtype=dtype, initialise=initialise):
        text = Qwen2_5_VLTextModel(config)
        head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
    # One table in both directions, as in Qwen2.5-VL-3B.
    head.weight = text.embed_tokens.weight
    if spec.lora is not None:
        add_lora(text, spec.lora)
    return LanguageModel(
        text=text,
        head=head,
        visual=_build_visual(
            spec, visual, dim=config.hidden_size, segmenter=segmenter, dtype=dtype, initialise=initialise
        ),
        tokenizer=ChatTokenizer.from_file(tokenizer, vocab_rows=config.vocab_size),
    )


def add_lora(text: nn.Module, spec: LoraSpec) -> None:
    """Freeze the language model and lay low-rank updates over its linear layers, in place."""
    from peft import LoraConfig, inject_adapter_in_model

    text.requires_grad_(False)
    config = LoraConfig(
        r=spec.r,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        target_modules=list(LORA_TARGETS),
        bias="none",
    )
    inject_adapter_in_model(config, text)
    for parameter in text.parameters():
        if parameter.requires_grad:
            # peft makes the updates in the dtype of what they lie over; in bfloat16 small steps would be lost.
            parameter.data = parameter.data.float()


def _build_visual(
    spec: LanguageSpec,
    visual: VisualSpec,
    *,
    dim: int,
    segmenter: SamSegmenter,
    dtype: torch.dtype,
    initialise: bool,
) -> nn.Module:
    if visual.source == "segmenter":
        channels, side, _ = segmenter.embedding_chw
        return SegmenterTokens(channels=channels, side=side, grid=visual.grid, dim=dim)
    vision: dict[str, Any] = dict(spec.vision or {})
    with _created(dtype=dtype, initialise=initialise):
        tower = Qwen2_5_VisionTransformerPretrainedModel(Qwen2_5_VLVisionConfig(**vision))
    return QwenTokens(tower.requires_grad_(False))


@contextmanager
def _created(*, dtype: torch.dtype, initialise: bool) -> Iterator[None]:
    """Create modules in a dtype, so that the rotary frequencies beside them stay float32, as `.to(dtype)` would not.

    Unfilled memory is not touched before weights are read into it: no minutes of drawing three billion numbers.
    """
    before = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.callback(torch.set_default_dtype, before)
        torch.set_default_dtype(dtype)
        if not initialise:
            stack.enter_context(no_init_weights())
        yield


def best_encoder_dtype(device: torch.device | str = "cpu") -> torch.dtype:
    """Return the dtype in which the frozen encoder runs fastest on a device without visible loss.

    bfloat16 where the hardware multiplies it natively (AMX or AVX512-BF16 processors, CUDA from Ampere on).
    """
    if torch.device(device).type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32


def best_language_dtype(device: torch.device | str = "cpu") -> torch.dtype:
    """Return the dtype in which a frozen language model runs on a device: bfloat16 where it is native, else float32.

    Never float16, whose range the states of Qwen2.5 leave.
    """
    dtype = best_encoder_dtype(device)
    return torch.float32 if dtype is torch.float16 else dtype

"""Folders of tiny image-text-to-text models of several families, as transformers saves them, taught one reply."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from tiny_core_seg import TOKENIZER
from torch import nn
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from coreseg_core.models.image_text import ImageTextModel
from coreseg_core.models.sam import SamSizes, build_sam

FAMILIES = ("llava", "qwen2_5_vl")
SEG_TOKEN = "[SEG]"
DIM = 64
SAM = {
    "width": 32,
    "depth": 2,
    "heads": 2,
    "global_blocks": [1],
    "side_px": 128,
    "prompt_dim": 32,
    "decoder_width": 48,
}
_TEXT = {
    "hidden_size": DIM,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": None,
    "eos_token_id": None,
}
_IMAGE = {"qwen2_5_vl": "<|vision_start|><|image_pad|><|vision_end|>", "llava": "<|image_pad|>"}
_TEMPLATE = (
    "{%% for message in messages %%}<|im_start|>{{ message.role }}\n"
    "{%% for part in message.content %%}{%% if part.type == 'image' %%}%s{%% else %%}{{ part.text }}{%% endif %%}"
    "{%% endfor %%}<|im_end|>\n{%% endfor %%}{%% if add_generation_prompt %%}<|im_start|>assistant\n{%% endif %%}"
)


def tiny_model(family: str) -> ImageTextModel:
    """Return a model with random weights, the same ones each time."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(TOKENIZER), eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.add_tokens([SEG_TOKEN])
    torch.manual_seed(11)
    template = _TEMPLATE % _IMAGE[family]
    make = _llava if family == "llava" else _qwen
    model, processor = make(tokenizer, template)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return ImageTextModel(model, processor)


def _llava(tokenizer: Any, template: str) -> tuple[Any, Any]:
    image = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(**_TEXT, vocab_size=len(tokenizer)),
        image_token_id=image,
        image_seq_length=16,
    )
    pictures = CLIPImageProcessor(
        size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}, do_convert_rgb=True
    )
    processor = LlavaProcessor(
        image_processor=pictures,
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        image_token="<|image_pad|>",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    return LlavaForConditionalGeneration(config), processor


def _qwen(tokenizer: Any, template: str) -> tuple[Any, Any]:
    ids = {
        name: tokenizer.convert_tokens_to_ids(f"<|{name}|>")
        for name in ("image_pad", "video_pad", "vision_start", "vision_end")
    }
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
    config = Qwen2_5_VLConfig(
        text_config={**_TEXT, "vocab_size": len(tokenizer), "rope_parameters": rope},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": DIM,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
    )
    pictures = {"min_pixels": 28 * 28, "max_pixels": 112 * 112}
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**pictures),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**pictures),
        chat_template=template,
    )
    return Qwen2_5_VLForConditionalGeneration(config), processor


def teach(
    model: ImageTextModel, pictures: Sequence[NDArray[np.uint8]], prompts: Sequence[str], reply: str
) -> None:
    """Let a model learn to write one reply to every prompt about every picture, and stop."""
    end = model.tokenizer.eos_token_id
    wanted = torch.tensor([[*model.tokenizer.encode(reply, add_special_tokens=False), end]])
    asked = [model.inputs(rgb, prompt, system=None) for rgb, prompt in zip(pictures, prompts, strict=True)]
    optimizer = torch.optim.AdamW(model.model.parameters(), lr=5e-3)
    for step in range(300):
        inputs = asked[step % len(asked)]
        before = inputs["input_ids"].shape[1]
        whole = torch.cat([inputs["input_ids"], wanted], dim=1)
        rest = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
        if "mm_token_type_ids" in rest:
            rest["mm_token_type_ids"] = nn.functional.pad(rest["mm_token_type_ids"], (0, wanted.shape[1]))
        logits = model.model(input_ids=whole, attention_mask=torch.ones_like(whole), **rest).logits
        loss = nn.functional.cross_entropy(logits[0, before - 1 : -1].float(), wanted[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if float(loss.detach()) < 0.02 and step > 4 * len(asked):
            return
    raise AssertionError(f"the toy did not learn its reply: loss {float(loss.detach()):.3f}")


def write_folder(folder: Path, model: ImageTextModel) -> Path:
    """Return a folder with a model and its processor."""
    model.model.save_pretrained(folder)
    model.processor.save_pretrained(folder)
    return folder


def write_lisa(folder: Path, model: ImageTextModel) -> Path:
    """Return a folder with a model and, beside it, random weights of LISA's projection and SAM."""
    write_folder(folder, model)
    torch.manual_seed(12)
    sam = build_sam(SamSizes(**{**SAM, "global_blocks": (1,)}), normalisation="imagenet")
    layers = {"0": nn.Linear(DIM, DIM), "2": nn.Linear(DIM, int(SAM["prompt_dim"]))}
    tensors = {f"visual_model.{name}": tensor for name, tensor in sam.state_dict().items()}
    for place, layer in layers.items():
        for name, tensor in layer.state_dict().items():
            tensors[f"text_hidden_fcs.0.{place}.{name}"] = tensor
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "lisa.safetensors")
    return folder

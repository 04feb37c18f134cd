"""`core-seg-3b` made small: the same classes and the same code, two layers of each part, and its published files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers.models.qwen2_5_vl import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from coreseg_core.models.build import build_segmenter
from coreseg_core.models.chat import ChatTokenizer
from coreseg_core.models.load import packaged_folder
from coreseg_core.models.preset import Preset, load_preset

Layout = Literal["published", "current"]
TOKENIZER = packaged_folder("lite") / "tokenizer.json"
ROWS = int(load_preset("lite").language.config["vocab_size"])
SHARDS = 3


def tiny_core_seg() -> Preset:
    """Return `core-seg-3b` with two layers each of language model, vision tower and SAM."""
    whole = load_preset("core-seg-3b")
    config = {
        **whole.language.config,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": ROWS,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
    }
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "out_hidden_size": 64,
        "fullatt_block_indexes": [1],
        "window_size": 56,
    }
    sizes = {
        "width": 32,
        "depth": 2,
        "heads": 2,
        "global_blocks": (1,),
        "side_px": 128,
        "prompt_dim": 32,
        "decoder_width": 48,
    }
    return replace(
        whole,
        # A name that no hub and no cache of one knows.
        language=replace(
            whole.language, config=config, vision=vision, repository="coreseg-tests/no-such-model"
        ),
        segmenter=replace(whole.segmenter, sizes=sizes),
        adapter=replace(whole.adapter, hidden_dim=48),
        max_answer_tokens=48,
    )


@cache
def oracle() -> Qwen2_5_VLForConditionalGeneration:
    """Return transformers' own Qwen2.5-VL of these sizes with random weights."""
    spec = tiny_core_seg().language
    tokenizer = ChatTokenizer.from_file(TOKENIZER, vocab_rows=ROWS)
    ids = {name: tokenizer.encode(f"<|{name}|>")[0] for name in ("video_pad", "vision_start", "vision_end")}
    config = Qwen2_5_VLConfig(
        text_config={**spec.config, "tie_word_embeddings": True, "bos_token_id": None, "eos_token_id": None},
        vision_config=dict(spec.vision or {}),
        image_token_id=tokenizer.image_id,
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
        tie_word_embeddings=True,
    )
    torch.manual_seed(3)
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Far from their starting values, so that no tensor can be mistaken for another.
            parameter.copy_(torch.randn_like(parameter) * 0.15 + (1.0 if parameter.ndim == 1 else 0.0))
    return model


def language_tensors(layout: Layout) -> dict[str, Tensor]:
    """Return the oracle's tensors by the names of a layout; the tied output table stands in neither."""
    language, tower = (
        ("model.", "visual.") if layout == "published" else ("model.language_model.", "model.visual.")
    )
    model = oracle().model
    return {
        **{language + name: tensor for name, tensor in model.language_model.state_dict().items()},
        **{tower + name: tensor for name, tensor in model.visual.state_dict().items()},
    }


def config_values(layout: Layout) -> dict[str, Any]:
    """Return `config.json` as the authors published it (flat) or as newer programs write it (nested)."""
    spec = tiny_core_seg().language
    text = dict(spec.config)
    rope = text.pop("rope_parameters")
    head = {"model_type": "qwen2_5_vl", "tie_word_embeddings": True, "vision_config": dict(spec.vision or {})}
    if layout == "current":
        return {**head, "text_config": {**text, "rope_parameters": rope}}
    scaling = {"type": "mrope", "mrope_section": rope["mrope_section"]}
    return {**head, **text, "rope_theta": rope["rope_theta"], "rope_scaling": scaling}


def write_language_files(folder: Path, layout: Layout = "published") -> Path:
    """Return a folder with the files of the oracle as a hub would give them, in shards."""
    folder.mkdir(parents=True)
    tensors = language_tensors(layout)
    weight_map = {
        name: f"model-{number % SHARDS + 1:05d}-of-{SHARDS:05d}.safetensors"
        for number, name in enumerate(sorted(tensors))
    }
    for shard in set(weight_map.values()):
        save_file(
            {name: tensors[name] for name, place in weight_map.items() if place == shard}, folder / shard
        )
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(config_values(layout)))
    shutil.copyfile(TOKENIZER, folder / "tokenizer.json")
    return folder


def write_base_folder(folder: Path, layout: Layout = "published") -> Path:
    """Return a folder with everything the small preset stands on."""
    write_language_files(folder, layout)
    torch.manual_seed(4)
    segmenter = build_segmenter(tiny_core_seg())
    save_file(segmenter.state_dict(), folder / "medsam_vit_b.safetensors")
    return folder

"""A small model of the `lite` make: real classes, real LiteMedSAM weights, a language model of two layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from coreseg_core.models.build import build_coreseg
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.preset import Preset, load_preset


def small_lite() -> Preset:
    """Return `lite` with two layers of width 64."""
    lite = load_preset("lite")
    config = {
        **lite.language.config,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
    }
    return replace(lite, language=replace(lite.language, config=config))


def random_lite(tokenizer: Path) -> CoreSegModel:
    """Return a small model with random trained parts, the same ones each time, in evaluation mode."""
    torch.manual_seed(0)
    return build_coreseg(small_lite(), tokenizer=tokenizer).eval()

"""Presets: what a model is made of, as data. Everything that works on one works on another by changing one word."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from coreseg_core.errors import InputError

PRESETS = ("lite", "core-seg-3b")


@dataclass(frozen=True, kw_only=True)
class FrameSpec:
    """Long side, in pixels, of the picture that the language model sees and counts boxes in."""

    min_long_side_px: int
    max_long_side_px: int


@dataclass(frozen=True, kw_only=True)
class AdapterSpec:
    """Sizes of the Semantic-Guided Prompt Adapter: prompt tokens, ResMLP width, attention heads."""

    queries: int
    hidden_dim: int
    heads: int


@dataclass(frozen=True, kw_only=True)
class LoraSpec:
    """Rank, scale and dropout of the low-rank updates on the language model's linear layers."""

    r: int
    alpha: int
    dropout: float


@dataclass(frozen=True, kw_only=True)
class LanguageSpec:
    """The Qwen2.5-VL language model.

    Attributes:
        source: `embedded` weights ship with the preset; `folder` weights are fetched by the user.
        config: Arguments of transformers' text configuration.
        vision: Arguments of its vision configuration, None where the segmenter provides the visual tokens.
        lora: None trains the whole model.
        repository: Where users find the weights.
        licence: What users have to know before they use the weights.
    """

    source: Literal["embedded", "folder"]
    config: Mapping[str, Any]
    vision: Mapping[str, Any] | None = None
    lora: LoraSpec | None = None
    repository: str | None = None
    licence: str | None = None


@dataclass(frozen=True, kw_only=True)
class SegmenterSpec:
    """The SAM-family segmenter.

    Attributes:
        kind: Which make.
        variant: Of a SAM: `vit_b`, `vit_l` or `vit_h`.
        normalisation: Of its input.
        weights_file: The file with its published weights, which users provide.
        sizes: Arguments of `SamSizes` where a SAM differs from its variant.
    """

    kind: Literal["lite_medsam", "sam"]
    variant: str = ""
    normalisation: Literal["minmax", "imagenet"] = "minmax"
    weights_file: str | None = None
    sizes: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class VisualSpec:
    """Where the language model's visual tokens come from: Qwen's tower, or the segmenter's own embedding."""

    source: Literal["qwen", "segmenter"]
    grid: int = 0


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A whole model; see the JSON files beside this module.

    Attributes:
        ct_channels: One CT window three times, or three windows of a region as red, green and blue.
        ct_regions: Regions whose windows it was trained with; others are shown in the soft-tissue window.
    """

    name: str
    segmenter: SegmenterSpec
    frame: FrameSpec
    ct_channels: Literal["single", "three"]
    ct_regions: tuple[str, ...]
    language: LanguageSpec
    visual_tokens: VisualSpec
    adapter: AdapterSpec
    max_answer_tokens: int


def preset_from_json(values: Mapping[str, Any]) -> Preset:
    """Return a preset from its JSON values."""
    language = dict(values["language"])
    lora = language.pop("lora", None)
    return Preset(
        name=values["name"],
        segmenter=SegmenterSpec(**values["segmenter"]),
        frame=FrameSpec(**values["frame"]),
        ct_channels=values["ct_channels"],
        ct_regions=tuple(values["ct_regions"]),
        language=LanguageSpec(**language, lora=LoraSpec(**lora) if lora else None),
        visual_tokens=VisualSpec(**values["visual_tokens"]),
        adapter=AdapterSpec(**values["adapter"]),
        max_answer_tokens=values["max_answer_tokens"],
    )


def load_preset(name: str) -> Preset:
    """Return a preset by name.

    Raises:
        InputError: If there is no such preset.
    """
    if name not in PRESETS:
        raise InputError(f"There is no preset {name[:40]!r}.", remedy=f"Use one of {', '.join(PRESETS)}.")
    text = (resources.files("coreseg_core.models") / "presets" / f"{name}.json").read_text(encoding="utf-8")
    return preset_from_json(json.loads(text))

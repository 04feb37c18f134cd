"""Loads a preset with its weights, verified by hash."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch

from coreseg_core.checkpoint import load_weights
from coreseg_core.errors import CheckpointError
from coreseg_core.models.build import best_encoder_dtype, build_coreseg
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.preset import load_preset

TOKENIZER_NAME = "tokenizer.json"


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for use, with the version and SHA-256 of its weights."""

    model: CoreSegModel
    version: str
    sha256: str


def packaged_folder(preset: str) -> Path:
    """Return the weight folder that ships with the package."""
    return Path(str(resources.files("coreseg_core") / "weights" / preset))


def load_model(name: str, *, weights: Path | None = None, device: str = "cpu") -> LoadedModel:
    """Return the model of a preset with verified weights, in evaluation mode.

    Args:
        name: Preset.
        weights: Weight folder with `weights.safetensors`, `manifest.json` and `tokenizer.json`.
        device: Where it runs.

    Raises:
        CheckpointError: A file is missing, altered, or belongs to another preset.
    """
    preset = load_preset(name)
    folder = weights or packaged_folder(name)
    tensors, manifest = load_weights(folder)
    if manifest.get("preset") != name:
        raise CheckpointError(
            f"These weights belong to the preset {manifest.get('preset')!r}, not to {name!r}.",
            remedy="Name the preset that the weights were trained for.",
        )
    model = build_coreseg(preset, tokenizer=folder / TOKENIZER_NAME, encoder_dtype=best_encoder_dtype(device))
    expected = set(model.trained_state())
    if expected != set(tensors):
        odd = sorted(expected ^ set(tensors))
        raise CheckpointError(
            f"The weights do not fit the preset {name!r}: {len(odd)} tensors differ, first {odd[0]}.",
            remedy="Use weights of this version of the program, or install the version they were made with.",
        )
    model.load_state_dict({key: value.float() for key, value in tensors.items()}, strict=False)
    sha256 = str(manifest["files"]["weights.safetensors"]["sha256"])
    version = str(manifest.get("version", "v0"))
    return LoadedModel(model=model.to(torch.device(device)).eval(), version=version, sha256=sha256)

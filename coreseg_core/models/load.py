"""Loads a preset with its weights, verified by hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coreseg_core.checkpoint import load_weights
from coreseg_core.errors import CheckpointError
from coreseg_core.models.base_files import TOKENIZER_NAME, BaseFiles, find_base_files
from coreseg_core.models.base_weights import read_base_weights, read_segmenter_weights
from coreseg_core.models.build import (
    best_encoder_dtype,
    best_language_dtype,
    build_coreseg,
    build_segmenter,
)
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.lora import with_rank_of
from coreseg_core.models.mask_prompts import require_mask_prompt
from coreseg_core.models.preset import Preset, load_preset
from coreseg_core.models.segmenter import SamSegmenter, Segmenter
from coreseg_core.record import Outcome
from coreseg_core.scaling import Scaling, read_scalings
from coreseg_core.taught import Taught, read_taught

MASK_PROMPT_FACT = "mask_prompt"
"""Where a manifest says what the segmenter is prompted with, of weights that were trained in another way than usual."""


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for use.

    Attributes:
        model: In evaluation mode.
        version: Of its weights.
        sha256: Likewise.
        scalings: What makes its confidences hold, by outcome; empty where that was never fitted.
        taught: What its weights learned from corrections.
        published: Its segmenter with the mask decoder that training began with.
    """

    model: CoreSegModel
    version: str
    sha256: str
    scalings: Mapping[Outcome, Scaling]
    taught: Taught
    published: Segmenter


def packaged_folder(preset: str) -> Path:
    """Return the weight folder that ships with the package."""
    return Path(str(resources.files("coreseg_core") / "weights" / preset))


def load_model(
    preset: str | Preset,
    *,
    weights: Path | None = None,
    base: Path | str | None = None,
    device: str = "cpu",
) -> LoadedModel:
    """Return the model of a preset with verified weights, in evaluation mode.

    Args:
        preset: The preset or its name.
        weights: Weight folder with `weights.safetensors`, `manifest.json` and `tokenizer.json`.
        base: Of a preset that stands on published weights: their folder or a hub id. By default the environment
            variable `CORESEG_BASE_WEIGHTS`, then what the manifest says.
        device: Where it runs.

    Raises:
        CheckpointError: A file is missing, altered, or belongs to another preset.
    """
    spec = load_preset(preset) if isinstance(preset, str) else preset
    folder = weights or packaged_folder(spec.name)
    if spec.language.source == "folder" and not folder.is_dir():
        find_base_files(spec, base=base)
        raise _untrained(spec, folder)
    tensors, manifest = load_weights(folder)
    if manifest.get("preset") != spec.name:
        raise CheckpointError(
            f"These weights belong to the preset {manifest.get('preset')!r}, not to {spec.name!r}.",
            remedy="Name the preset that the weights were trained for.",
        )
    spec = with_rank_of(spec, tensors)
    model = _model_beneath(spec, folder, manifest, base=base, device=device)
    published = model.segmenter.twin()
    lay_over(model, tensors)
    model.mask_prompt = require_mask_prompt(manifest.get(MASK_PROMPT_FACT, model.mask_prompt))
    sha256 = str(manifest["files"]["weights.safetensors"]["sha256"])
    version = str(manifest.get("version", "v0"))
    model.to(torch.device(device)).eval()
    published.mask_decoder.to(torch.device(device)).eval().requires_grad_(False)
    return LoadedModel(
        model=model,
        version=version,
        sha256=sha256,
        scalings=read_scalings(manifest),
        taught=read_taught(manifest),
        published=published,
    )


def build_on_base(
    preset: str | Preset, *, base: Path | str | None = None, device: str = "cpu"
) -> tuple[CoreSegModel, BaseFiles]:
    """Return a model whose frozen parts are the published ones and whose trained parts are new: where SFT starts.

    Args:
        preset: A preset that stands on published weights, or its name.
        base: Folder or hub id of these; by default the environment variable `CORESEG_BASE_WEIGHTS`.
        device: Where it will run; decides the dtype of the frozen parts.

    Raises:
        CheckpointError: A published file is missing, damaged or of another model.
    """
    spec = load_preset(preset) if isinstance(preset, str) else preset
    files = find_base_files(spec, base=base)
    return _read(spec, files, tokenizer=files.tokenizer, device=device), files


def published_segmenter(
    preset: Preset, *, base: Path | str | None = None, device: str = "cpu"
) -> SamSegmenter:
    """Return the segmenter of a preset with its published weights, ready to encode.

    Args:
        preset: Which.
        base: As in `build_on_base`; not looked at where the weights ship with a package.
        device: Where it runs.

    Raises:
        CheckpointError: A published file is missing, damaged or of another model.
    """
    segmenter = build_segmenter(preset, encoder_dtype=best_encoder_dtype(device))
    if preset.segmenter.weights_file is not None:
        found = find_base_files(preset, base=base).segmenter
        if found is not None:
            read_segmenter_weights(segmenter, found)
    return segmenter.to(device).eval()


def _model_beneath(
    spec: Preset, folder: Path, manifest: Mapping[str, Any], *, base: Path | str | None, device: str
) -> CoreSegModel:
    """Return the model that trained weights are laid over."""
    tokenizer = folder / TOKENIZER_NAME
    if spec.language.source == "embedded":
        return build_coreseg(spec, tokenizer=tokenizer, encoder_dtype=best_encoder_dtype(device))
    stated = manifest.get("base")
    files = find_base_files(spec, base=base, stated=stated, beside=folder)
    expected = stated.get("sha256") if isinstance(stated, Mapping) else None
    if expected is not None and files.sha256() != expected:
        raise CheckpointError(
            f"The published weights in {files.config.parent.name!r} are not those that this version was trained on "
            f"(expected SHA-256 {str(expected)[:12]}).",
            remedy=f"Use the files of {spec.language.repository} as they were downloaded for training.",
        )
    return _read(spec, files, tokenizer=tokenizer if tokenizer.is_file() else files.tokenizer, device=device)


def _read(spec: Preset, files: BaseFiles, *, tokenizer: Path, device: str) -> CoreSegModel:
    model = build_coreseg(
        spec,
        tokenizer=tokenizer,
        encoder_dtype=best_encoder_dtype(device),
        language_dtype=best_language_dtype(device),
        initialise=False,
    )
    read_base_weights(model, files)
    return model


def lay_over(model: CoreSegModel, tensors: Mapping[str, Tensor]) -> None:
    """Copy trained tensors into a model after comparing names and shapes."""
    expected = {(name, tensor.shape) for name, tensor in model.trained_state().items()}
    odd = sorted({name for name, _ in expected ^ {(name, tensor.shape) for name, tensor in tensors.items()}})
    if odd:
        raise CheckpointError(
            f"The weights do not fit the preset {model.preset.name!r}: "
            f"{len(odd)} tensors differ, first {odd[0]}.",
            remedy="Use weights of this version of the program, or install the version they were made with.",
        )
    model.load_state_dict({key: value.float() for key, value in tensors.items()}, strict=False)


def _untrained(spec: Preset, folder: Path) -> CheckpointError:
    return CheckpointError(
        f"The published weights of {spec.name!r} are here, but no trained parts ({folder.name!r} is no folder): "
        "low-rank updates, <seg>, adapter and mask decoder are trained, none ship with this preset.",
        remedy="Train them first, `python -m training.sft --config CONFIG.yaml` with `preset: "
        f"{spec.name}`, then name the folder it writes as the weights. The preset 'lite' works at once.",
    )

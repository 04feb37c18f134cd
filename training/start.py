"""The model that a run starts from: a new one, or new trained parts on published weights that stay frozen."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from coreseg_core.checkpoint import replace_file
from coreseg_core.errors import CheckpointError, InputError
from coreseg_core.models.base_files import base_facts
from coreseg_core.models.build import build_coreseg
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.load import build_on_base, load_model
from coreseg_core.models.preset import Preset
from training.views import ViewStore

BASE_NAME = "base.json"
"""File of a run that says which published weights it stands on."""
_START_NAME = "start.json"


def starting_model(preset: Preset, *, tokenizer: Path | None, base: str | None, folder: Path) -> CoreSegModel:
    """Return the model that a run starts from; what it stands on, if anything, is written into the run's folder.

    Args:
        preset: What to build.
        tokenizer: Of a preset that stands on nothing.
        base: Folder or hub id of the published weights of one that does; see `build_on_base`.
        folder: Of the run.

    Raises:
        InputError: The tokenizer is missing, or a base is named for a preset that has none.
        CheckpointError: A published file is missing or damaged, or others than those that the run began on.
    """
    if preset.language.source == "embedded":
        if tokenizer is None or base is not None:
            raise InputError(
                f"The preset {preset.name!r} stands on no published weights.",
                remedy="Name its 'tokenizer' in the configuration, and no 'base'.",
            )
        return build_coreseg(preset, tokenizer=tokenizer)
    model, files = build_on_base(preset, base=base, device="cuda" if torch.cuda.is_available() else "cpu")
    _keep_to_base(base_facts(preset, files, base=base), folder / BASE_NAME)
    return model


def stage_one_model(preset: Preset, *, start: Path, base: str | None, folder: Path) -> CoreSegModel:
    """Return the model of stage 1 that a run goes on from; which one it is, is written into the run's folder.

    Args:
        preset: What the model is made of.
        start: Its weight folder, as `training.publish` writes it.
        base: Folder or hub id of the published weights of a preset that stands on such.
        folder: Of the run.

    Raises:
        CheckpointError: The weights are missing, altered, of another preset, or others than those the run began on.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load_model(preset, weights=start, base=base, device=device)
    _keep_to_base({"sha256": loaded.sha256}, folder / _START_NAME)
    return loaded.model


def choose_attention(model: CoreSegModel) -> None:
    """Take the attention whose backward pass is quickest: on a CPU the plain one, three times as quick as the fused."""
    if not torch.cuda.is_available():
        model.language.text.set_attn_implementation("eager")


def require_fitting_views(preset: Preset, train: ViewStore, dev: ViewStore) -> None:
    """Raise unless there are views to train on, and all have frames or none, as the preset's language model needs.

    Raises:
        InputError: There are none, or they were made for another preset.
    """
    framed = preset.visual_tokens.source == "qwen"
    if not len(train) or any((size is not None) is not framed for size in [*train.frame_whs, *dev.frame_whs]):
        raise InputError(
            f"Not all of the {len(train) + len(dev)} views were made for {preset.name!r}."
            if len(train)
            else "There are no views to train on.",
            remedy=f"Make them with `python -m training.views --preset {preset.name} ...`.",
        )


def _keep_to_base(facts: dict[str, str], path: Path) -> None:
    if path.exists():
        begun = json.loads(path.read_bytes())
        if begun.get("sha256") != facts["sha256"]:
            raise CheckpointError(
                f"This run began on other published weights (SHA-256 {str(begun.get('sha256'))[:12]}, "
                f"now {facts['sha256'][:12]}).",
                remedy="Name the weights it began on, or another folder for the run.",
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, json.dumps(facts, indent=2).encode())

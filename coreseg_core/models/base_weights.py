"""Reads published weights into a model, one tensor at a time, so that no more than the model itself is in memory.

The names of Qwen2.5-VL's tensors exist in two layouts, the one its authors published (`model.layers...`, `visual...`)
and the one newer programs write (`model.language_model.layers...`, `model.visual...`); both are understood.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from coreseg_core.errors import CheckpointError
from coreseg_core.models.base_files import BaseFiles
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.preset import LanguageSpec
from coreseg_core.models.segmenter import Segmenter

TEXT, TOWER, SEGMENTER = "language.text.", "language.visual.tower.", "segmenter."
# Longest prefix first.
_PREFIXES = {"model.language_model.": TEXT, "model.visual.": TOWER, "visual.": TOWER, "model.": TEXT}
_TIED = "lm_head.weight"
# Limits of use, not sizes: a configuration may say something else here.
_NOT_SIZES = {"max_position_embeddings", "rope_parameters", "bos_token_id", "eos_token_id", "pad_token_id"}
_AGAIN = "Download the file again, or point to the right folder."


def read_base_weights(model: CoreSegModel, files: BaseFiles) -> None:
    """Fill the language model, its vision tower and the segmenter of a model with published weights.

    Args:
        model: As `build_coreseg` made it; low-rank updates, `<seg>` and adapter are left as they are.
        files: What `find_base_files` found.

    Raises:
        CheckpointError: A file is damaged, of another model, or does not hold every tensor.
    """
    check_config(files.config, model.preset.language)
    targets = base_tensors(model)
    language = {name: tensor for name, tensor in targets.items() if not name.startswith(SEGMENTER)}
    _fill(language, _published(files.shards), where=files.shards[0].parent.name)
    if files.segmenter is not None:
        read_segmenter_weights(model.segmenter, files.segmenter)


def read_segmenter_weights(segmenter: Segmenter, path: Path) -> None:
    """Fill a segmenter with published weights.

    Raises:
        CheckpointError: The file is damaged, of another model, or does not hold every tensor.
    """
    _fill(segmenter.state_dict(keep_vars=True), _tensors(path), where=path.name)


def base_tensors(model: CoreSegModel) -> dict[str, Tensor]:
    """Return the tensors of a model that published weights fill, by their names without low-rank updates.

    The vocabulary's table stands there once: input and output are tied, as in Qwen2.5-VL-3B.
    """
    if model.language.head.weight is not model.language.text.embed_tokens.weight:
        raise ValueError("the language model's two tables are not tied")
    named = model.state_dict(keep_vars=True)
    return {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in named.items()
        if name.startswith((TEXT, TOWER, SEGMENTER)) and ".lora_" not in name
    }


def our_name(published: str) -> str | None:
    """Return our name of a published tensor of Qwen2.5-VL, in either layout, None for one that it does not have."""
    for theirs, ours in _PREFIXES.items():
        if published.startswith(theirs):
            return ours + published.removeprefix(theirs)
    return None


def check_config(path: Path, spec: LanguageSpec) -> None:
    """Compare a published `config.json` with a preset.

    Raises:
        CheckpointError: A size differs or is not said, or the file is unreadable.
    """
    try:
        values = json.loads(path.read_bytes())
        text = values.get("text_config", values)
        rope = {"rope_theta": text.get("rope_theta"), **(text.get("rope_scaling") or {})}
        rope.update(text.get("rope_parameters") or {})
        vision = values.get("vision_config") or {}
    except (ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{path.name} is unreadable.", remedy=_AGAIN) from error
    if values.get("tie_word_embeddings", text.get("tie_word_embeddings", True)) is not True:
        raise CheckpointError(
            f"{path.name}: tie_word_embeddings is false, expected true.",
            remedy=f"Use the files of {spec.repository}.",
        )
    sizes = {key: value for key, value in spec.config.items() if key not in _NOT_SIZES}
    _compare(text, sizes, path.name, spec)
    expected_rope = spec.config["rope_parameters"]
    _compare(rope, {key: expected_rope[key] for key in ("rope_theta", "mrope_section")}, path.name, spec)
    _compare(vision, spec.vision or {}, f"{path.name}, vision_config", spec)


def _compare(found: Mapping[str, Any], expected: Mapping[str, Any], where: str, spec: LanguageSpec) -> None:
    for key, value in expected.items():
        if found.get(key) != (list(value) if isinstance(value, tuple) else value):
            raise CheckpointError(
                f"{where}: {key} is {str(found.get(key))[:60]}, expected {value}.",
                remedy=f"These files are of another model; use those of {spec.repository}.",
            )


def _published(shards: Iterable[Path]) -> Iterator[tuple[str, Tensor]]:
    """Yield our name and value of each published tensor of the language model."""
    for shard in shards:
        for name, tensor in _tensors(shard):
            if name == _TIED:
                continue
            ours = our_name(name)
            if ours is None:
                raise CheckpointError(f"{shard.name} holds {name[:80]!r}, no part of it.", remedy=_AGAIN)
            yield ours, tensor


def _tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield name and value of each tensor of a file, one in memory at a time."""
    try:
        with safe_open(path, framework="pt", device="cpu") as archive:
            for name in archive.keys():  # noqa: SIM118
                yield name, archive.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} is damaged or no safetensors file.", remedy=_AGAIN) from error


@torch.no_grad()
def _fill(targets: Mapping[str, Tensor], tensors: Iterator[tuple[str, Tensor]], *, where: str) -> None:
    """Copy tensors into the targets of their names and see that every target was filled."""
    unfilled = set(targets)
    for name, tensor in tensors:
        target = targets.get(name)
        if target is None:
            raise CheckpointError(f"{where!r} holds the tensor {name[:80]!r}, unknown here.", remedy=_AGAIN)
        if tensor.shape != target.shape or not tensor.is_floating_point():
            raise CheckpointError(
                f"{where!r}: {name} is {tensor.dtype} of shape {tuple(tensor.shape)}, "
                f"expected floating point of shape {tuple(target.shape)}.",
                remedy=_AGAIN,
            )
        target.copy_(tensor)
        unfilled.discard(name)
    if unfilled:
        raise CheckpointError(
            f"{where!r} lacks {len(unfilled)} of {len(targets)} tensors, first {min(unfilled)}.",
            remedy=_AGAIN,
        )

"""Low-rank updates folded into what they lie over, and begun anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from coreseg_core.models.preset import Preset

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

ADAPTER = "default"


def lora_layers(module: nn.Module) -> Iterator[LoraLayer]:
    """Yield the layers of a module that carry low-rank updates; none where it is trained whole."""
    # Imported here because it takes seconds, which a preset without such updates does not need.
    from peft.tuners.lora import LoraLayer

    for layer in module.modules():
        if isinstance(layer, LoraLayer):
            yield layer


@torch.no_grad()
def fold_updates(module: nn.Module) -> int:
    """Fold the updates into the frozen weights, begin new ones that change nothing yet, and return how many.

    The new updates have no dropout: what is learned by reward is compared with what was sampled, token by token, and
    two draws of dropout would make these differ.
    """
    count = 0
    for layer in lora_layers(module):
        weight = layer.get_base_layer().weight
        weight.copy_((weight.float() + layer.get_delta_weight(ADAPTER).float()).to(weight.dtype))
        layer.reset_lora_parameters(ADAPTER, True)
        layer.lora_dropout[ADAPTER] = nn.Identity()
        count += 1
    return count


def stacked_updates(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of `second` with the updates of both: one update of the summed rank that does the same.

    Args:
        first: Trained tensors of what was folded in; only its updates are looked at.
        second: Trained tensors of what was learned on top.
    """
    stacked = dict(second)
    for name, tensor in second.items():
        if ".lora_A." in name:
            stacked[name] = torch.cat([first[name].to(tensor.dtype), tensor], dim=0)
        elif ".lora_B." in name:
            stacked[name] = torch.cat([first[name].to(tensor.dtype), tensor], dim=1)
    return stacked


def with_rank_of(preset: Preset, tensors: Mapping[str, Tensor]) -> Preset:
    """Return a preset whose low-rank updates have the rank of trained tensors, at the same scale alpha / r."""
    lora = preset.language.lora
    rank = next((int(tensor.shape[0]) for name, tensor in tensors.items() if ".lora_A." in name), None)
    if lora is None or rank is None or rank % lora.r:
        return preset
    grown = replace(lora, r=rank, alpha=lora.alpha * rank // lora.r)
    return replace(preset, language=replace(preset.language, lora=grown))

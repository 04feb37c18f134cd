"""Low-rank updates folded into what they lie over, and begun anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

ADAPTER = "default"


def lora_layers(module: nn.Module) -> Iterator[LoraLayer]:
    """Yield the layers of a module that carry low-rank updates; none where it is trained whole."""
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

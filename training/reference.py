"""The model as a run began: what the KL is measured against."""

from __future__ import annotations

from types import TracebackType

import torch
from torch import Tensor

from coreseg_core.models.coreseg import CoreSegModel


class Reference:
    """Frozen copies of everything that is trained; inside the context, the model is what it was when this was made.

    Of low-rank updates only the second factors are kept: new updates begin with these at zero, which takes the first
    ones out of play. So a large model's reference is itself with `<seg>`, adapter and mask decoder as they were.

    Args:
        model: The model, its low-rank updates new (`coreseg_core.models.lora.fold_updates`).
    """

    def __init__(self, model: CoreSegModel) -> None:
        self._parameters = {
            name: parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and ".lora_A." not in name
        }
        self._kept = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    def __enter__(self) -> None:
        self._swap()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self._parameters.items():
            held: Tensor = parameter.data
            parameter.data = self._kept[name].to(held.device)
            self._kept[name] = held
        # Under autocast, what was cast to a lower precision is kept; it would be taken for the other weights' own.
        torch.clear_autocast_cache()

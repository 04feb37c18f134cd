"""Puts a batch where the model is."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TypeVar, cast

import torch
from torch import Tensor

T = TypeVar("T")


def on_device(batch: T, device: torch.device) -> T:
    """Return a batch, a dataclass or tuple of tensors and of such, with its tensors on a device."""
    if isinstance(batch, Tensor):
        return cast(T, batch.to(device, non_blocking=True))
    if is_dataclass(batch) and not isinstance(batch, type):
        moved = {item.name: on_device(getattr(batch, item.name), device) for item in fields(batch)}
        return cast(T, replace(batch, **moved))
    if isinstance(batch, tuple):
        return cast(T, tuple(on_device(item, device) for item in batch))
    return batch

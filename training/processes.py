"""What all processes of a run hold, seen by each of them; of one process, what it holds itself."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def process_count() -> int:
    """Return how many processes run together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gathered(values: Tensor) -> Tensor:
    """Return the rows (processes * n, ...) of all processes, in their order; each has as many, (n, ...)."""
    count = process_count()
    if count == 1:
        return values
    # Processes on graphics cards talk through these alone.
    here = values.to("cuda") if dist.get_backend() == "nccl" else values
    held = [torch.empty_like(here) for _ in range(count)]
    dist.all_gather(held, here.contiguous())
    return torch.cat(held).to(values.device)

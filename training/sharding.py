"""A large frozen model in shards over several processes (FSDP), and what is trained on it whole on each.

The trained parts of `core-seg-3b` are a fraction of its frozen ones. Kept whole, they are clipped, averaged, saved and
resumed like those of one process, and only their gradients have to be brought together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn


def kept_whole(model: nn.Module) -> list[nn.Module]:
    """Return the modules that stay whole: all with trained parameters of their own, and tables, which may be shared."""
    return [
        module
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        or any(parameter.requires_grad for parameter in module.parameters(recurse=False))
    ]


def mean_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give each parameter the mean of its gradients over all processes; one that has none anywhere keeps none."""
    held = list(parameters)
    if not held:
        return
    reached = torch.tensor([p.grad is not None for p in held], dtype=torch.uint8, device=held[0].device)
    dist.all_reduce(reached, op=dist.ReduceOp.MAX)
    for parameter, anywhere in zip(held, reached.tolist(), strict=True):
        if not anywhere:
            continue
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        dist.all_reduce(parameter.grad)
        parameter.grad /= dist.get_world_size()


@contextmanager
def whole_weights(model: nn.Module) -> Iterator[None]:
    """Gather all shards on entry and drop them on exit: a model that is used part by part must not gather on its own.

    Every process has to enter, and the model must have been called as a whole before. Of a model without shards
    nothing is done.
    """
    from torch.distributed.fsdp import FSDPModule

    shards = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for module in shards:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in shards:
            # The whole itself is gathered from forward to backward, its layers one by one.
            module.set_reshard_after_forward(module is not model, recurse=False)
            module.reshard()

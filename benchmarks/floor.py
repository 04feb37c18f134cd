"""The counted floor of a stage: the time below which this machine cannot do it, however it is programmed.

Operations are those of the matrix products, convolutions and attention (torch's own counter). Bytes are those that must
move at least once: every weight and input the stage reads, and what it returns. Intermediate results are not counted,
since a better program could keep them in a cache. The floor is the longer of the two times at the machine's peak rates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import Machine

_ROW_LOOKUPS = (torch.ops.aten.embedding, torch.ops.aten.index_select)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a stage has to do: operations in one dtype, and bytes that move at least once."""

    flops: int
    bytes: int
    dtype: torch.dtype

    def floor_s(self, machine: Machine) -> float:
        """Return the seconds below which the machine cannot do it."""
        return max(self.flops / machine.flops_per_s(self.dtype), self.bytes / machine.bytes_per_s(self.bytes))


@torch.no_grad()
def count_work(run: Callable[[], Any], *, dtype: torch.dtype) -> Work:
    """Return the work of a run, which returns its result as tensors or nested sequences of them.

    Args:
        run: The stage; it is run once.
        dtype: Of its matrix products.
    """
    traffic = _FirstReads()
    counter = FlopCounterMode(display=False)
    with counter, traffic:
        result = run()
    written = sum(leaf.nbytes for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
    return Work(flops=int(counter.get_total_flops()), bytes=traffic.nbytes + written, dtype=dtype)


class _FirstReads(TorchDispatchMode):
    """Notes the bytes that are read from memory which was there before the run."""

    def __init__(self) -> None:
        super().__init__()
        self._read: dict[int, int] = {}
        self._made: set[int] = set()
        self._looked_up = 0

    @property
    def nbytes(self) -> int:
        """Bytes read so far."""
        return sum(self._read.values()) + self._looked_up

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.is_view:
            return out
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if func.overloadpacket in _ROW_LOOKUPS:
            self._looked_up += out.nbytes
            inputs = inputs[1:]
        for tensor in inputs:
            self._note(tensor)
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._made.add(leaf.untyped_storage().data_ptr())
        return out

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        if address not in self._made:
            # An expanded tensor reads no more than what lies behind it.
            seen = min(tensor.nbytes, storage.nbytes())
            self._read[address] = max(self._read.get(address, 0), seen)

"""Part of the way from a parent's weights to what was learned from them, so that less of the old is lost.

A model fine-tuned on few pictures forgets. Weights on the straight line between it and the model that it began as keep
most of what was learned and lose much less of what was known: Wortsman et al., "Robust fine-tuning of zero-shot models"
(CVPR 2022). Of low-rank updates the two factors go that way: the line of their product but for a term of second order.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def joined_by_a_line(parent: Mapping[str, Tensor], learned: Mapping[str, Tensor]) -> bool:
    """Return whether weights are of the same names and shapes, so that there is something between them.

    GRPO of `core-seg-3b` stacks low-rank updates of its own upon its parent's: nothing joins those.
    """
    return {name: tensor.shape for name, tensor in parent.items()} == {
        name: tensor.shape for name, tensor in learned.items()
    }


def share_taken(parent: Mapping[str, Tensor], learned: Mapping[str, Tensor], *, share: float) -> float:
    """Return how far weights can go: `share` of the way, or 1, all of it, where no line joins the two."""
    return share if joined_by_a_line(parent, learned) else 1.0


def blended(
    parent: Mapping[str, Tensor], learned: Mapping[str, Tensor], *, share: float
) -> dict[str, Tensor]:
    """Return the weights that lie `share` of the way from the parent's to the learned ones.

    Args:
        parent: Tensors by name.
        learned: Tensors by name, as they were learned from the parent.
        share: 0..1; 1 gives the learned ones as they are.

    Returns:
        Tensors of the learned ones' types; the learned ones themselves where no line joins the two (`share_taken`).
    """
    if share_taken(parent, learned, share=share) == 1:
        return dict(learned)
    return {
        name: parent[name].float().lerp(tensor.float(), share).to(tensor.dtype)
        for name, tensor in learned.items()
    }
